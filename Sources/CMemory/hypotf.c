#include <math.h>

/* The Swift runtime asks for hypotf, whose symbol has been versioned anew in glibc 2.35; nothing else here needs more than
 * 2.34. Squares of floats fit into double precision, so that nothing overflows. */
__attribute__((visibility("hidden"))) float hypotf(float x, float y)
{
    if (isinf(x) || isinf(y)) return INFINITY;
    return (float)__builtin_sqrt((double)x * x + (double)y * y);
}
