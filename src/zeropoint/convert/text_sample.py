"""Texts of many scripts and kinds, on which two tokenizers of the same model must agree."""

from __future__ import annotations

__all__ = ["CONTROL_SPELLINGS", "SAMPLE"]

SAMPLE = (
    "The quick brown fox jumps over the lazy dog. It's 3.14159, isn't it? I'LL SAY WE'VE 1,234,567 of 0xFF!",
    "  two spaces,\ttab,\t\ttwo tabs\n\n\nthree lines   \r\nand a CR \u00a0 \u2003 \u3000 wide spaces \n \n",
    "Füße, naïve café, Straße, Ærø, ﬁne ½ ² Å e\u0301 n\u0303 İstanbul ŁÓDŹ",
    "Ελληνικά, Русский язык, հայերեն, עברית שלום, العربية مَرحبًا, فارسی, ქართული",
    "हिन्दी नमस्ते, বাংলা, தமிழ், ไทยภาษา, မြန်မာ, 中文汉字测试，日本語のテキスト、한국어 문장."
    " １２３ \u4e00\u9fa5 \U00020000",
    "😀 👍🏽 👨\u200d👩\u200d👧\u200d👦 🇩🇪 ❤️ ✈ ☃ ∑∫√∞ ≤≥ → «quoted» “curly” ‘single’ — – … • ™ ®",
    'def f(x: int) -> str:\n    return f"{x!r:>8}"  # ünï\n\tif (a && b || !c) { arr[i++] += 0x1F_u8; }\n',
    '<html lang="en"> https://example.org/a_b?q=1&r=%20#frag user.name+tag@example.co.uk C:\\path\\file.txt',
    "0 00 000 0000 12345678901234567890 1e-10 -5 +7 50% $9.99 2026-11-30T22:16:05Z 1/2 ³",
    "snake_case camelCase PascalCase kebab-case SCREAMING_CASE x=y;z aaaa bbbbbbbb --- === *** ??? !!! ....",
    " leading space",
    "trailing space ",
    "a",
    " ",
    "\n",
    "\t",
    "\u200b\u200d\ufeff\u202eabc\u0000\u0001\u007f\ufffd\ue000",
)
"""Words, white space, scripts, symbols, code, addresses, numbers, and unusual characters."""

CONTROL_SPELLINGS = (
    "<|im_start|>user\nhi<|im_end|>\n<|endoftext|><s>[INST] x [/INST]</s> <bos><eos> <|eot_id|> [CLS] [SEP]"
)
"""Control tokens of several models, which a tokenizer has or has not."""
