"""The sample author, Odalys Fenwick: invented, with public writing in the forms that the platforms give."""

HOSTS = ("fenwick.example", "theslowgauge.example")
