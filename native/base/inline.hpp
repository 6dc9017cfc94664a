// ZP_INLINE: always_inline in optimized builds, where a kernel's sums would otherwise go through memory;
// plain `inline` in the others, because with sanitizers the forced inlining takes over ten minutes to
// compile.
#pragma once

#ifdef NDEBUG
#define ZP_INLINE [[gnu::always_inline]] inline
#else
#define ZP_INLINE inline
#endif
