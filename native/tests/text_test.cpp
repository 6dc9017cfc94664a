#include "base/text.hpp"

#include <string>

#include "check.hpp"

using namespace zp;

ZP_TEST(text_validates_utf8) {
    for (const char* good : {"", "plain ascii, longer than eight", "Ä€𝄞", "\xf4\x8f\xbf\xbf", "\xee\x80\x80"})
        ZP_CHECK(is_utf8(good));
    for (const char* bad :
         {"\x80", "\xc3", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
          "\xf5\x80\x80\x80", "\xff", "eight by\xe2\x82", "12345678\xc3("})
        ZP_CHECK(!is_utf8(bad));
}

ZP_TEST(text_for_messages_cannot_control_a_terminal) {
    ZP_EQ(printable("a\x1b[2J\n\x7f"), "a\\u{1b}[2J\\u{a}\\u{7f}");
    ZP_EQ(printable("\xe2\x80\xae\xe2\x81\xa6\xef\xbb\xbf"), "\\u{202e}\\u{2066}\\u{feff}");
    ZP_EQ(printable("\xc2\x9b"), "\\u{9b}");  // the one-character CSI
    ZP_EQ(printable("\xc3\xa9\xff"), "\xc3\xa9\\xff");
    ZP_EQ(printable(std::string(65, 'a')), std::string(64, 'a') + "\u2026");
    ZP_EQ(printable(std::string(64, 'a')), std::string(64, 'a'));
}
