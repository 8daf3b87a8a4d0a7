"""English function words: what is left of a text when its topic is masked."""

from __future__ import annotations

FUNCTION_WORDS: tuple[str, ...] = tuple(
    sorted(
        set(
            """
a an the this that these those such each every either neither both all any some no none another other others
i me my mine myself you your yours yourself yourselves he him his himself she her hers herself it its itself
we us our ours ourselves they them their theirs themselves one ones oneself who whom whose which what whoever
whatever whichever someone somebody something anyone anybody anything everyone everybody everything nobody
nothing somewhere anywhere everywhere nowhere
and or but nor so yet for because since although though even if unless until till while whereas whether as than
when whenever where wherever how however why once lest provided
of in to on at by with from into onto upon about above across after against along among amongst around before
behind below beneath beside besides between beyond despite down during except inside like minus near off out
outside over past per plus round through throughout toward towards under underneath unlike up via within without
am is are was were be been being do does did done doing have has had having can could will would shall should may
might must ought need dare used get gets got getting gotten let lets make makes made making go goes went gone going
come comes came coming take takes took taken taking keep keeps kept keeping seem seems seemed become becomes became
want wants wanted know knows knew known think thinks thought see sees saw seen say says said tell tells told
not n't never ever always often sometimes usually rarely seldom again also too very quite rather really just only
still already almost nearly enough much many more most less least few fewer several little lot lots bit plenty
here there now then today soon later earlier ago away back far perhaps maybe indeed actually basically simply
obviously clearly certainly probably possibly likely definitely exactly especially particularly mostly mainly
generally typically commonly basically essentially literally merely hardly barely instead otherwise anyway
therefore thus hence moreover furthermore nevertheless nonetheless meanwhile consequently accordingly similarly
likewise additionally finally first second third last next previous eventually immediately suddenly currently
recently together apart alone aside ahead altogether somehow somewhat kind sort same different own well better best
good bad great big small new old long short high low right wrong sure true able such certain whole entire full
two three four five six seven eight nine ten half hundred thousand
yes ok okay oh well hey please thanks thank
thing things way ways time times people person case example fact point part lot reason end side number
i'm i've i'd i'll you're you've you'd you'll he's he'd he'll she's she'd she'll it's it'd it'll we're we've we'd
we'll they're they've they'd they'll that's that'd that'll there's there're here's what's who's where's how's let's
isn't aren't wasn't weren't don't doesn't didn't haven't hasn't hadn't can't couldn't won't wouldn't shan't
shouldn't mightn't mustn't needn't cannot ain't
e.g i.e etc vs
""".split()
        )
    )
)
"""Closed-class words and the most frequent open-class ones that carry manner, not matter; lower case."""
