"""`make manifests`: every overlay with every allowed combination of components, built and checked offline.

Three passes: kustomize builds it; every object is valid against its schema, unknown fields and unknown kinds being
failures; and the rules that schemas cannot state hold (`rules_*.py`), on the pods that KServe will make too.
"""
