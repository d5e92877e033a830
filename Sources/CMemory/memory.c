#include "CMemory.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Pages of it exist when they are touched first. */
static _Alignas(64) unsigned char reserve[TENON_MEMORY_RESERVE];

/* In front of each block. */
struct header {
    size_t size;
    size_t padding;
};

enum { ALIGNMENT = 16 };

static atomic_flag lock = ATOMIC_FLAG_INIT;
static size_t next;
static size_t live;
static _Atomic uint64_t served;
static _Thread_local uint64_t mark;

static void enter(void)
{
    while (atomic_flag_test_and_set_explicit(&lock, memory_order_acquire))
        ;
}

static void leave(void) { atomic_flag_clear_explicit(&lock, memory_order_release); }

static bool is_inside(const void *pointer)
{
    return (const unsigned char *)pointer >= reserve && (const unsigned char *)pointer < reserve + sizeof reserve;
}

static void *take(size_t size, size_t alignment)
{
    void *result = NULL;
    if (size > sizeof reserve || alignment > 4096)
        return NULL;
    enter();
    uintptr_t start = (uintptr_t)reserve + next + sizeof(struct header);
    start = (start + alignment - 1) / alignment * alignment;
    size_t offset = start - (uintptr_t)reserve;
    if (offset <= sizeof reserve && size <= sizeof reserve - offset) {
        result = reserve + offset;
        ((struct header *)result - 1)->size = size;
        next = (offset + size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        live++;
    }
    leave();
    if (result)
        atomic_fetch_add_explicit(&served, 1, memory_order_relaxed);
    return result;
}

/* Blocks are given back all together, when the last one is free. */
static void give(void)
{
    enter();
    if (--live == 0)
        next = 0;
    leave();
}

void tenon_memory_begin(void) { mark = atomic_load_explicit(&served, memory_order_relaxed); }

bool tenon_memory_is_short(void) { return atomic_load_explicit(&served, memory_order_relaxed) != mark; }

/* The functions of the runtime, as its Heap.cpp has them. A mask of all ones means the usual alignment. */
void *__wrap_swift_slowAlloc(size_t size, size_t mask);
void __wrap_swift_slowDealloc(void *pointer, size_t size, size_t mask);
size_t __wrap_malloc_usable_size(void *pointer);
/* Not there in programs that are linked without the wrapping. */
extern size_t __real_malloc_usable_size(void *pointer) __attribute__((weak));

void *__wrap_swift_slowAlloc(size_t size, size_t mask)
{
    size_t alignment = mask == SIZE_MAX || mask < ALIGNMENT ? ALIGNMENT : mask + 1;
    void *result = NULL;
    if (alignment <= ALIGNMENT)
        result = malloc(size);
    else if (posix_memalign(&result, alignment, size) != 0)
        result = NULL;
    if (!result)
        result = take(size ? size : 1, alignment);
    if (!result)
        abort();
    return result;
}

void __wrap_swift_slowDealloc(void *pointer, size_t size, size_t mask)
{
    (void)size;
    (void)mask;
    if (is_inside(pointer))
        give();
    else
        free(pointer);
}

size_t __wrap_malloc_usable_size(void *pointer)
{
    return is_inside(pointer) ? ((struct header *)pointer - 1)->size : __real_malloc_usable_size(pointer);
}
