// ZP_INLINE: a function that must be inline, or a kernel's sums go through memory, in builds that are for
// speed. In others it is left to the compiler, which with sanitizers takes over ten minutes for it.
#pragma once

#ifdef NDEBUG
#define ZP_INLINE [[gnu::always_inline]] inline
#else
#define ZP_INLINE inline
#endif
