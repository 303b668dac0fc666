"""Skeletons of names: two names that look alike have a skeleton in common (Unicode TR39, section 4).

The table holds the letters, marks and digits of Unicode's `confusables.txt` whose prototype is Latin, as far as NFKC
keeps them apart, and small capitals. Letters that are right to left are left out: no name mixes with them unseen.
"""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["skeletons"]


def skeletons(name: str) -> frozenset[str]:
    """What a name looks like: as it is written, and in small letters.

    Both are needed: `ΑΝΝΑ` (Greek) looks like `ANNA` before it is folded, `ανα` like `ava` after it. Two names are
    confusable when these sets have an element in common. The work is linear in the length of the name.
    """
    written = unicodedata.normalize("NFKC", name)
    folded = unicodedata.normalize("NFKC", written.casefold())
    return frozenset((_skeleton(written), _skeleton(folded)))


def _skeleton(text: str) -> str:
    folded = text.translate(_PROTOTYPES).casefold().translate(_PROTOTYPES).casefold()
    plain = unicodedata.normalize("NFD", folded).replace("i\u0307", "i").replace("j\u0307", "j")
    return plain.translate(_DIGITS).replace("rn", "m").replace("vv", "w")


_CONFUSABLES: Final = {
    "2": "ƧϨᒿꙄꝚ",
    "3": "ƷȜЗӠⳌꝪꞫ𑣊𖼻",
    "4": "Ꮞ𑢯",
    "5": "Ƽ𑢻",
    "6": "бᏮⳒ𑣕",
    "7": "𐓒𑣆",
    "8": "Ȣȣ৪੪ଃ𐌚",
    "9": "৭੧୨൭ⳊꝮ𑢬𑣌𑣖",
    "A": "ΑАᎪᗅꓮ𐊠𖽀",
    "AA": "Ꜳ",
    "AE": "ÆӔ",
    "AO": "Ꜵ",
    "AU": "Ꜷ",
    "AV": "ꜸꜺ",
    "AY": "Ꜽ",
    "B": "ΒВᏴᗷꓐꞴ𐊂𐊡𐌁",
    "C": "СᏟⲤꓚ𐊢𐌂𐐕𐔜𑣩",
    "D": "Ꭰᗞᗪꓓ",
    "E": "ΕЕᎬⴹꓰ𐊆𑢦𑢮",
    "F": "ϜᖴꓝꞘ𐊇𐊥𐔥𑢢𑣂",
    "G": "ԌᏀᏳꓖ",
    "H": "ΗНᎻᕼⲎꓧ𐋏",
    "J": "ͿЈᎫᒍꓙꞲ",
    "K": "ΚКᏦᛕⲔꓗ𐔘",
    "L": "ᏞᒪⳐꓡ𐐛𐔦𑢣𑢲𖼖",
    "M": "ΜϺМᎷᗰᛖⲘꓟ𐊰𐌑",
    "N": "ΝⲚꓠ𐔓",
    "O": "ΟОՕ০ଠ୦ዐⲞⵔꓳ𐊒𐊫𐐄𐓂𐔖𑓐𑢵𑣠",
    "OE": "Œ",
    "OO": "ꚘꝎ",
    "P": "ΡРᏢᑭⲢꓑ𐊕",
    "Q": "ⵕ",
    "R": "ƦᎡᏒᖇꓣ𐒴𖼵",
    "S": "ЅՏᏕᏚꓢ𐊖𐐠𖼺",
    "T": "ΤТᎢⲦꓔ𐊗𐊱𐌕𑢼𖼊",
    "T3": "Ꜩ",
    "U": "Սሀᑌꓴ𐓎𑢸𖽂",
    "V": "Ѵ۷Ꮩᐯⴸꓦꛟ𐔝𑢠𖼈",
    "W": "ԜᎳᏔꓪ𑣦",
    "X": "ΧХᚷⲬⵝꓫꞳ𐊐𐊴𐌗𐔧",
    "Y": "ΥУҮᎩᎽⲨꓬ𐊲𑢤𖽃",
    "Z": "ΖᏃꓜ𑢩𑣥",
    "a": "ɑαаᴀ",
    "aa": "ꜳ",
    "ae": "æӕ",
    "ao": "ꜵ",
    "au": "ꜷ",
    "av": "ꜹꜻ",
    "ay": "ꜽ",
    "b": "ƄЬᏏᑲᖯʙвβ",
    "bl": "Ы",
    "c": "сᴄⲥꮯ𐐽",
    "d": "ԁᏧᑯꓒᴅ",
    "dz": "ʣ",
    "e": "еҽꬲᴇεє",
    "f": "քẝꞙꬵ",
    "g": "ƍɡցᶃԍɢꮐ",
    "h": "һհᏂʜн",
    "i": "ıɩɪιіӏᎥꙇꭵ𑣃",
    "j": "ϳјᴊ",
    "k": "ᴋкκ",
    "l": "ᏆƖǀΙІӀ۱ᛁⲒⵏꓲ𐊊𐌉𖼨ʟ",
    "lO": "Ю",
    "ll": "ǁ",
    "ls": "ʪ",
    "lz": "ʫ",
    "m": "ᴍм",
    "n": "ոռɴη",
    "o": "οσоօ۵०੦૦௦ం౦ಂ೦ംഠ൦ං๐໐ဝ၀ჿᴏᴑⲟꬽ𐐬𐓪𑣈𑣗",
    "oe": "œ",
    "oo": "ꚙꝏ",
    "p": "ρрⲣᴘþ",
    "q": "ԛգզ",
    "r": "гᴦⲅꭇꭈꮁʀ",
    "rn": "𑜀𑣣",
    "s": "ƽѕꜱꮪ𐑈𑣁",
    "t": "ᴛтτ",
    "tf": "ꝷ",
    "ts": "ʦ",
    "u": "ʋυսᴜꞟꭎꭒ𐓶𑣘",
    "ue": "ᵫ",
    "uo": "ꭣ",
    "v": "νѵᴠꮩ𑜆𑣀",
    "w": "ɯѡԝաᴡꮃ𑜊𑜎𑜏ω",
    "x": "хᕁᕽχ",
    "y": "ɣʏγуүყᶌỿꭚ𑣜",
    "z": "ᴢꮓ𑣄",
    "Г": "Γ",
    "П": "Π",
    "п": "π",
    "Ф": "Φ",
    "ф": "φ",
    "Л": "Λ",
}
"""Prototype to the characters that look like it."""

_PROTOTYPES: Final = {ord(each): prototype for prototype, alike in _CONFUSABLES.items() for each in alike}

_DIGITS: Final = str.maketrans("l1|0", "iiio")
