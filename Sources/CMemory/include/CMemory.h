#ifndef CMEMORY_H
#define CMEMORY_H

#include <stdbool.h>

/* The Swift runtime ends the process when it gets no memory for an object. In the library its allocations come through here
   (the linker's --wrap), and where the C library has none they come from a reserve, as long as that lasts. */

/* Bytes of the reserve. */
enum { TENON_MEMORY_RESERVE = 4 << 20 };

/* From now on the calling thread has not met a shortage. */
void tenon_memory_begin(void);

/* Whether the reserve has been touched since. */
bool tenon_memory_is_short(void);

#endif
