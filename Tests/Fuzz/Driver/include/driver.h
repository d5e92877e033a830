/* The loop of libFuzzer, for programs that have a main function of their own. */
#ifndef DRIVER_H
#define DRIVER_H

#include <stddef.h>
#include <stdint.h>

/* Runs `body` on inputs as the arguments of the program say; body returns 0. */
int fuzz_run(int argc, char **argv, int (*body)(const uint8_t *data, size_t size));

#endif
