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

/* What the linker gives the allocator's own functions as. Not there in programs that are linked without the wrapping. */
#define REAL(type, name, parameters) extern type __real_##name parameters __attribute__((weak))
REAL(void *, malloc, (size_t));
REAL(void *, calloc, (size_t, size_t));
REAL(void *, realloc, (void *, size_t));
REAL(int, posix_memalign, (void **, size_t, size_t));
REAL(void *, aligned_alloc, (size_t, size_t));
REAL(void, free, (void *));
REAL(size_t, malloc_usable_size, (void *));

enum {
    /* Tensors are asked for in blocks that can fail. */
    LARGEST_ALIGNED = 64 << 10,
    /* What Foundation and the C++ of the runtime ask for cannot. */
    LARGEST = 1 << 20
};

static size_t size_of(void *pointer) { return ((struct header *)pointer - 1)->size; }

void *__wrap_malloc(size_t size)
{
    void *result = __real_malloc(size);
    return result || size > LARGEST ? result : take(size ? size : 1, ALIGNMENT);
}

void *__wrap_calloc(size_t count, size_t size)
{
    size_t bytes;
    void *result = __real_calloc(count, size);
    if (result || __builtin_mul_overflow(count, size, &bytes) || bytes > LARGEST)
        return result;
    result = take(bytes ? bytes : 1, ALIGNMENT);
    return result ? memset(result, 0, bytes) : NULL;
}

void __wrap_free(void *pointer)
{
    if (is_inside(pointer))
        give();
    else
        __real_free(pointer);
}

void *__wrap_realloc(void *pointer, size_t size)
{
    void *result = is_inside(pointer) ? NULL : __real_realloc(pointer, size);
    if (result || size == 0 || size > LARGEST) {
        if (size == 0 && is_inside(pointer))
            give();
        return result;
    }
    size_t before = !pointer ? 0 : is_inside(pointer) ? size_of(pointer) : __real_malloc_usable_size(pointer);
    result = take(size, ALIGNMENT);
    if (!result)
        return NULL;
    if (before)
        memcpy(result, pointer, before < size ? before : size);
    __wrap_free(pointer);
    return result;
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t size)
{
    int status = __real_posix_memalign(memory, alignment, size);
    if (status != 0 && size <= LARGEST_ALIGNED && (*memory = take(size ? size : 1, alignment)))
        return 0;
    return status;
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    void *result = __real_aligned_alloc(alignment, size);
    return result || size > LARGEST_ALIGNED ? result : take(size ? size : 1, alignment);
}

size_t __wrap_malloc_usable_size(void *pointer)
{
    return is_inside(pointer) ? size_of(pointer) : __real_malloc_usable_size(pointer);
}

/* operator new and delete of the runtime's own C++. Blocks pass between it and the standard library's shared object, and a host may
   have replaced both operators, so that neither may stand for malloc and free. */
REAL(void, _ZdlPv, (void *));
REAL(void, _ZdaPv, (void *));
extern void *_ZnwmRKSt9nothrow_t(size_t size, const void *nothrow) __attribute__((weak));
extern void *_ZnamRKSt9nothrow_t(size_t size, const void *nothrow) __attribute__((weak));
extern const char _ZSt7nothrow __attribute__((weak));

static void *kept(void *result, size_t size)
{
    if (!result && size <= LARGEST)
        result = take(size ? size : 1, ALIGNMENT);
    if (!result)
        abort();
    return result;
}

void *__wrap__Znwm(size_t size) { return kept(_ZnwmRKSt9nothrow_t(size, &_ZSt7nothrow), size); }
void *__wrap__Znam(size_t size) { return kept(_ZnamRKSt9nothrow_t(size, &_ZSt7nothrow), size); }

void __wrap__ZdlPv(void *pointer)
{
    if (is_inside(pointer))
        give();
    else
        __real__ZdlPv(pointer);
}

void __wrap__ZdaPv(void *pointer)
{
    if (is_inside(pointer))
        give();
    else
        __real__ZdaPv(pointer);
}

void __wrap__ZdlPvm(void *pointer, size_t size)
{
    (void)size;
    __wrap__ZdlPv(pointer);
}

/* The functions of the Swift runtime, as its Heap.cpp has them. A mask of all ones means the usual alignment. */
void *__wrap_swift_slowAlloc(size_t size, size_t mask)
{
    size_t alignment = mask == SIZE_MAX || mask < ALIGNMENT ? ALIGNMENT : mask + 1;
    void *result = NULL;
    if (alignment <= ALIGNMENT)
        result = __real_malloc(size);
    else if (__real_posix_memalign(&result, alignment, size) != 0)
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
    __wrap_free(pointer);
}
