"""Abbreviations whose period the reference tokenizer keeps, in small letters without the period."""

ABBREVIATIONS = frozenset(
    # months and days
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri "
    # places
    "al ala alex ariz az ark calif cf colo conn ct dak del fla ga ill ind kan kans ky la mass md "
    "mich minn miss mo mont neb nev okla ore pa penn tenn tex va vt wash wis wisc wyo "
    # ranks and titles
    "adm asst atty attys brig capt cmdr col comdr cpl det dr drs ens esq gen gov govs hon insp jr "
    "lieut lt maj messrs mlle mme mr mrs ms msgr pfc pres prof profs pvt rep reps rev sen sens sfc "
    "sgt spc sr st ste supt supts wm "
    # firms and streets
    "assn assoc ave bhd bldg blvd bros cie co corp cos dept elec ext inc intl invt ltd mfg mtg "
    "natl plc ppte ppty pte ptes pty ptys rd rt sys univ "
    # others
    "adj adv est etc ft jos mt ph seq sq tel vs".split()
)
# These, only where the first letter is a capital.
CAPITAL_ONLY = frozenset("ark az del ill la mass miss ore pa tex wash".split())
# These, only where a number follows.
BEFORE_NUMBER = frozenset("art ca fig figs no nos op pp prop".split())
# A letter with a period, as in "plan B.", gives up its period where one of these follows.
SENTENCE_STARTS = tuple(
    "A About According Additionally After An As At But Earlier He Her Here However If In It Last "
    "Many More Mr. Ms. Now Once One Other Our She Since So Some Such That The Their Then There "
    "These They This We What When While Yet You".split()
)
