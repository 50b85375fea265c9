"""Words with a meaning of their own before a period, for `jaxcap.text.token_rules`.

A word in lower case stands for every spelling of it. The capital that begins a word is required,
for these are also common words: "Miss." is an abbreviation, "miss." ends a sentence.
"""

# What follows such a period, if short, is a word of its own: "etc.a" is "etc." and "a".
APART = tuple(
    # months and days
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri "
    # places
    "al ala ariz Az Ark calif colo conn ct dak Del fla ga Ill ind kan kans ky La Mass md mich minn "
    "Miss mo mont neb nev okla Ore Pa penn tenn Tex va vt Wash wis wisc wyo "
    # firms, streets and people
    "assn bancorp bhd bldg blvd bros co corp cos ed.d esq inc intl jr ltd ph.d plc rd rt sr sys "
    "univ "
    # others
    "est etc ext seq sq tel".split()
)
# Such a period belongs to the longer word where a letter follows: "dr.a" is one word.
TITLES = tuple(
    "a.k.a adj adm adv alex assoc asst atty attys ave brig capt cf cie cmdr col comdr cpl dept det "
    "dr drs elec ens ft gen gov govs hon insp invt jos lieut lt maj messrs Miss mlle mme mr mrs ms "
    "msgr mt natl pfc ph pres prof profs pvt rep reps rev sen sens sfc sgt spc st ste supt supts "
    "treas vs wm".split()
)
# These are abbreviations only where a number follows.
NUMBERED = tuple("art ca fig figs no nos op pp prop".split())
# Of these, in capitals, the period is dropped ("PTY."); so the rules spell them out.
_IN_SMALL_LETTERS = "mfg mtg ppte pptes ppty pptys pte ptes pty ptys".split()
WITH_PERIOD = frozenset(word.lower() for word in (*APART, *TITLES, *NUMBERED, *_IN_SMALL_LETTERS))
# A single letter, as in "plan B.", loses its period before one of these words.
SENTENCE_STARTS = tuple(
    "A About According Additionally After An As At But Earlier He Her Here However If In It Last "
    "Many More Mr. Ms. Now Once One Other Our She Since So Some Such That The Their Then There "
    "These They This We What When While Yet You".split()
)
