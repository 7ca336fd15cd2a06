// NVIDIA's driver as far as CubeCL calls it, on a processor: memory is memory, and kernels run on the calling thread,
// a block after the other and a block's threads in turn from barrier to barrier.
//
// CUDA_ON_CPU  a folder that keeps kernels compiled (README.md)
// ORDER        `backwards`: blocks, and the threads of each, from the last to the first: what depends on who comes
//              first gives something else
// KERNELS      `idle`: kernels do nothing, and what is read from the device is zero; for counting
// LAUNCHES     a file for each kernel's launches and milliseconds, written at the end
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "thread.h"

#ifndef __x86_64__
#error "threads are switched in the machine language of x86-64"
#endif

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, INVALID_PTX = 218, NOT_FOUND = 500 };

static int is(const char *variable, const char *word) {
    const char *value = getenv(variable);
    return value && !strcmp(value, word);
}

static double milliseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

// ---- The device: what is known of an H100

int cuInit(unsigned flags) { return SUCCESS; }
int cuDriverGetVersion(int *version) { *version = 13000; return SUCCESS; }
int cuDeviceGetCount(int *count) { *count = 1; return SUCCESS; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return ordinal ? INVALID_DEVICE : SUCCESS; }
int cuDeviceGetName(char *name, int length, int device) { snprintf(name, length, "a processor"); return SUCCESS; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = 80ul << 30; return SUCCESS; }
int cuMemGetInfo_v2(size_t *left, size_t *total) { *left = *total = 80ul << 30; return SUCCESS; }
int cuDeviceGetPCIBusId(char *id, int length, int device) { snprintf(id, length, "0000:00:00.0"); return SUCCESS; }
int cuDeviceGetUuid_v2(char *uuid, int device) { memset(uuid, 7, 16); return SUCCESS; }
int cuDeviceCanAccessPeer(int *can, int device, int peer) { *can = 0; return SUCCESS; }

// CUdevice_attribute and its value; what is not listed is 1.
static const int ATTRIBUTES[][2] = {
    { 1, 1024 }, { 2, 1024 }, { 3, 1024 }, { 4, 64 }, // threads: in a block, along x, y and z
    { 5, 2147483647 }, { 6, 65535 }, { 7, 65535 },    // blocks along x, y and z
    { 8, 49152 }, { 9, 65536 }, { 10, 32 },           // shared memory and constants in bytes, lanes of a warp
    { 12, 65536 }, { 13, 1980000 }, { 16, 132 },      // registers, clock in kHz, multiprocessors
    { 33, 0 }, { 34, 5 }, { 50, 0 },                  // bus, slot, domain
    { 38, 50 << 20 }, { 39, 2048 },                   // second cache, threads on a multiprocessor
    { 75, 9 }, { 76, 0 },                             // compute capability
    { 81, 233472 }, { 97, 232448 },                   // shared memory of a multiprocessor, and of a block that asks for it
};

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = 1;
    for (size_t i = 0; i < sizeof ATTRIBUTES / sizeof *ATTRIBUTES; i++)
        if (ATTRIBUTES[i][0] == attribute) *value = ATTRIBUTES[i][1];
    return SUCCESS;
}

int cuFuncGetAttribute(int *value, int attribute, void *function) { *value = attribute ? 0 : 1024; return SUCCESS; }
int cuGetErrorName(int error, const char **name) { *name = "an error of tools/cuda"; return SUCCESS; }
int cuGetErrorString(int error, const char **text) { *text = "see what tools/cuda has said"; return SUCCESS; }

// ---- Contexts, streams and events: everything is done when a call returns, so there is nothing to wait for

#define DOES_NOTHING(name) int name(void) { return SUCCESS; }
DOES_NOTHING(cuCtxSetCurrent)
DOES_NOTHING(cuCtxPushCurrent_v2)
DOES_NOTHING(cuCtxSynchronize)
DOES_NOTHING(cuCtxSetLimit)
DOES_NOTHING(cuCtxEnablePeerAccess)
DOES_NOTHING(cuDevicePrimaryCtxRelease_v2)
DOES_NOTHING(cuFuncSetAttribute)
DOES_NOTHING(cuFuncSetCacheConfig)
DOES_NOTHING(cuModuleUnload)
DOES_NOTHING(cuStreamSynchronize)
DOES_NOTHING(cuStreamWaitEvent)
DOES_NOTHING(cuStreamDestroy_v2)
DOES_NOTHING(cuEventRecord)
DOES_NOTHING(cuEventQuery)
DOES_NOTHING(cuEventSynchronize)
DOES_NOTHING(cuEventDestroy_v2)
DOES_NOTHING(cuMemPoolSetAttribute)
DOES_NOTHING(cuMemPoolTrimTo)
DOES_NOTHING(cuDeviceSetMemPool)

static int handle(void **out) {
    static uintptr_t last = 4096;
    *out = (void *)__sync_add_and_fetch(&last, 16);
    return SUCCESS;
}

int cuDevicePrimaryCtxRetain(void **context, int device) { *context = (void *)4096; return SUCCESS; }
int cuCtxGetCurrent(void **context) { *context = (void *)4096; return SUCCESS; }
int cuCtxPopCurrent_v2(void **context) { *context = (void *)4096; return SUCCESS; }
int cuCtxGetStreamPriorityRange(int *least, int *most) { *least = 0; *most = -5; return SUCCESS; }
int cuStreamCreate(void **stream, unsigned flags) { return handle(stream); }
int cuStreamCreateWithPriority(void **stream, unsigned flags, int priority) { return handle(stream); }
int cuStreamIsCapturing(void *stream, int *status) { *status = 0; return SUCCESS; }
int cuEventCreate(void **event, unsigned flags) { return handle(event); }
int cuEventElapsedTime_v2(float *time, void *from, void *to) { *time = 20; return SUCCESS; }
int cuEventElapsedTime(float *time, void *from, void *to) { *time = 20; return SUCCESS; }
int cuDeviceGetDefaultMemPool(void **pool, int device) { return handle(pool); }
int cuDeviceGetMemPool(void **pool, int device) { return handle(pool); }

// ---- Memory

// The size lies on a page of its own before what is handed out.
#define PAGE 4096

static int allocate(void **out, size_t bytes) {
    size_t all = bytes + 2 * PAGE;
    char *pages = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) return OUT_OF_MEMORY;
    *(size_t *)pages = all;
    *out = pages + PAGE;
    // What nobody has written is no number, as far as that costs little.
    if (bytes < 64u << 20 && !is("KERNELS", "idle")) memset(*out, 0xff, bytes);
    return SUCCESS;
}

static int release(void *memory) {
    char *pages = (char *)memory - PAGE;
    if (memory) munmap(pages, *(size_t *)pages);
    return SUCCESS;
}

int cuMemAlloc_v2(void **out, size_t bytes) { return allocate(out, bytes); }
int cuMemAllocAsync(void **out, size_t bytes, void *stream) { return allocate(out, bytes); }
int cuMemAllocHost_v2(void **out, size_t bytes) { return allocate(out, bytes); }
int cuMemHostAlloc(void **out, size_t bytes, unsigned flags) { return allocate(out, bytes); }
int cuMemFree_v2(void *memory) { return release(memory); }
int cuMemFreeAsync(void *memory, void *stream) { return release(memory); }
int cuMemFreeHost(void *memory) { return release(memory); }

static int copy(void *to, const void *from, size_t bytes) { memmove(to, from, bytes); return SUCCESS; }
int cuMemcpyHtoD_v2(void *to, const void *from, size_t bytes) { return copy(to, from, bytes); }
int cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t bytes, void *stream) { return copy(to, from, bytes); }
int cuMemcpyDtoH_v2(void *to, const void *from, size_t bytes) { return copy(to, from, bytes); }
int cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t bytes, void *stream) { return copy(to, from, bytes); }
int cuMemcpyDtoDAsync_v2(void *to, const void *from, size_t bytes, void *stream) { return copy(to, from, bytes); }
int cuMemsetD8_v2(void *to, unsigned char value, size_t bytes) { memset(to, value, bytes); return SUCCESS; }
int cuMemsetD8Async(void *to, unsigned char value, size_t bytes, void *stream) { return cuMemsetD8_v2(to, value, bytes); }

// CUDA_MEMCPY2D: a place on the host, or one on the device, by the kind of memory (1 is the host).
struct side { size_t x, y; int kind; char *host, *device, *array; size_t pitch; };
struct copy_2d { struct side from, to; size_t width, height; };

int cuMemcpy2DAsync_v2(struct copy_2d *what, void *stream) {
    char *from = what->from.kind == 1 ? what->from.host : what->from.device;
    char *to = what->to.kind == 1 ? what->to.host : what->to.device;
    for (size_t row = 0; row < what->height; row++) {
        size_t at = (what->to.y + row) * what->to.pitch + what->to.x;
        memcpy(to + at, from + (what->from.y + row) * what->from.pitch + what->from.x, what->width);
    }
    return SUCCESS;
}

// ---- Modules: PTX to C to a library, once for each text

struct function {
    struct function *next;
    char name[256];
    const struct kernel *kernel;
    unsigned long launches;
    double milliseconds;
};

static struct function *functions;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int compile(const char *ptx, const char *library, const char *stem) {
    char here[2048], command[8192];
    snprintf(here, sizeof here, "%s", __FILE__);
    *strrchr(here, '/') = 0;
    snprintf(command, sizeof command, "%s.ptx", stem);
    FILE *file = fopen(command, "w");
    if (!file || fputs(ptx, file) < 0 || fclose(file)) return -1;
    snprintf(command, sizeof command,
             "unset LD_LIBRARY_PATH; python3 '%s/translate.py' '%s.ptx' '%s.c' && gcc -O1 -march=native "
             "-ffp-contract=off -w -fPIC -shared '-I%s' '%s.c' -o '%s.new' -lm && mv '%s.new' '%s'",
             here, stem, stem, here, stem, stem, stem, library);
    return system(command);
}

int cuModuleLoadData(void **module, const char *ptx) {
    const char *folder = getenv("CUDA_ON_CPU");
    char stem[4096], library[4200];
    uint64_t hash = 14695981039346656037u; // FNV-1a
    for (const char *c = ptx; *c; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    snprintf(stem, sizeof stem, "%s/%016lx", folder ? folder : "/tmp", hash);
    snprintf(library, sizeof library, "%s.so", stem);
    pthread_mutex_lock(&lock);
    int failed = access(library, R_OK) && compile(ptx, library, stem);
    *module = failed ? NULL : dlopen(library, RTLD_NOW | RTLD_LOCAL);
    pthread_mutex_unlock(&lock);
    if (*module) return SUCCESS;
    fprintf(stderr, "tools/cuda: %s.ptx cannot be made a library: %s\n", stem, failed ? "see above" : dlerror());
    return INVALID_PTX;
}

int cuModuleLoadDataEx(void **module, const char *ptx, unsigned n, void *options, void *values) {
    return cuModuleLoadData(module, ptx);
}

int cuModuleGetFunction(struct function **out, void *module, const char *name) {
    char symbol[512];
    snprintf(symbol, sizeof symbol, "kernel_%s", name);
    const struct kernel *kernel = dlsym(module, symbol);
    if (!kernel) return NOT_FOUND;
    *out = calloc(1, sizeof **out);
    snprintf((*out)->name, sizeof (*out)->name, "%s", name);
    (*out)->kernel = kernel;
    pthread_mutex_lock(&lock);
    (*out)->next = functions;
    functions = *out;
    pthread_mutex_unlock(&lock);
    return SUCCESS;
}

__attribute__((destructor)) static void write_launches(void) {
    const char *path = getenv("LAUNCHES");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) return;
    for (struct function *one = functions; one; one = one->next)
        if (one->launches) fprintf(file, "%8lu %10.1f ms %s\n", one->launches, one->milliseconds, one->name);
    fclose(file);
}

// ---- Launches. A thread that waits gives the processor back to the loop over a block's threads

#define THREADS 1024
#define LANES 32
#define STACK (256ul << 10)
#define FENCE 256 // bytes behind shared memory that nobody may write

enum { READY, AT_WARP, AT_BARRIER, DONE, STATES };

static struct thread threads[THREADS], *current;
static const struct kernel *running;
static char *stacks;
static void *home;

// switch_stacks(save, to): goes on where the stack `to` was left, and leaves this one in `save`.
void switch_stacks(void **save, void *to);
asm("switch_stacks:\n"
    "push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
    "mov %rsp, (%rdi)\n mov %rsi, %rsp\n"
    "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n");

static void leave(struct thread *thread, int state) {
    thread->state = state;
    switch_stacks(&thread->stack, home);
}

static void barrier(struct thread *thread) { leave(thread, AT_BARRIER); }

static void begin(void) {
    running->run(current);
    leave(current, DONE);
}

// shfl.sync; `clamp` is PTX's operand c: the last lane, and the mask of a segment from bit 8 on.
static uint32_t shuffle(struct thread *thread, uint32_t value, uint32_t by, uint32_t clamp, int mode, uint32_t *inside) {
    thread->value = value;
    leave(thread, AT_WARP);
    struct thread *warp = thread - thread->linear % LANES;
    int lane = thread->linear % LANES, segment = clamp >> 8 & 31, first = lane & segment;
    int last = first | (clamp & 31 & ~segment), from;
    switch (mode) {
    case 'u': from = lane - (int)by, *inside = from >= last; break;
    case 'd': from = lane + (int)by, *inside = from <= last; break;
    case 'b': from = lane ^ (int)by, *inside = from <= last; break;
    default: from = first | (by & ~segment), *inside = from <= last; break;
    }
    uint32_t result = *inside ? warp[from].value : value;
    leave(thread, AT_WARP); // a value stays until all have read
    return result;
}

static uint32_t ballot(struct thread *thread, int yes) {
    thread->value = yes;
    leave(thread, AT_WARP);
    struct thread *warp = thread - thread->linear % LANES;
    uint32_t result = 0;
    for (int lane = 0; lane < LANES; lane++)
        if (warp[lane].state == AT_WARP || warp + lane == thread) result |= (uint32_t)!!warp[lane].value << lane;
    leave(thread, AT_WARP);
    return result;
}

// Runs a warp until all of its threads are at the block's barrier or done. Answers how many are done.
static int run_warp(const char *name, int from, int to, int backwards) {
    for (;;) {
        int count[STATES] = { 0 };
        for (int i = from; i < to; i++) {
            struct thread *thread = &threads[backwards ? from + to - 1 - i : i];
            current = thread;
            if (thread->state != DONE) switch_stacks(&home, thread->stack);
            count[thread->state]++;
        }
        if (!count[AT_WARP]) return count[DONE];
        if (!count[AT_BARRIER]) continue;
        fprintf(stderr, "tools/cuda: %s: a warp's threads wait at different places\n", name);
        abort();
    }
}

static void run_block(const char *name, int count, int backwards) {
    for (int i = 0; i < count; i++) {
        void **top = (void **)(stacks + (i + 1) * STACK) - 2;
        *top = begin;
        threads[i].stack = top - 6; // six registers, whatever they hold
        threads[i].state = READY;
    }
    int warps = (count + LANES - 1) / LANES;
    for (int done = 0; done < count;) {
        done = 0;
        for (int i = 0; i < warps; i++) {
            int from = LANES * (backwards ? warps - 1 - i : i), to = from + LANES < count ? from + LANES : count;
            done += run_warp(name, from, to, backwards);
        }
    }
}

int cuLaunchKernel(struct function *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared_bytes, void *stream, void **arguments, void **extra) {
    static char parameters[1 << 16], *shared;
    static size_t room;
    const struct kernel *kernel = function->kernel;
    size_t bytes = kernel->fixed_shared + shared_bytes;
    int count = bx * by * bz, backwards = is("ORDER", "backwards");
    if (count > THREADS || bytes > 232448) {
        fprintf(stderr, "tools/cuda: %s asks for %d threads and %zu bytes of shared memory\n", function->name, count, bytes);
        return INVALID_VALUE;
    }
    pthread_mutex_lock(&lock);
    double start = milliseconds();
    if (!stacks) {
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        stacks = mmap(NULL, THREADS * STACK, PROT_READ | PROT_WRITE, flags, -1, 0);
    }
    if (bytes + FENCE > room) {
        free(shared);
        room = (bytes + FENCE + 127) / 128 * 128;
        shared = aligned_alloc(128, room);
    }
    for (int i = 0; i < kernel->parameters; i++) memcpy(parameters + kernel->offset[i], arguments[i], kernel->size[i]);
    running = kernel;
    for (unsigned i = 0; i < count; i++) {
        threads[i] = (struct thread){
            .shared = shared, .param = parameters, .tid = { i % bx, i / bx % by, i / bx / by }, .linear = i,
            .ntid = { bx, by, bz }, .nctaid = { gx, gy, gz }, .barrier = barrier, .shuffle = shuffle, .ballot = ballot,
        };
    }
    size_t blocks = is("KERNELS", "idle") ? 0 : (size_t)gx * gy * gz;
    for (size_t block = 0; block < blocks; block++) {
        memset(shared, 0xff, bytes + FENCE);
        size_t at = backwards ? blocks - 1 - block : block;
        for (int i = 0; i < count; i++) {
            threads[i].ctaid[0] = at % gx;
            threads[i].ctaid[1] = at / gx % gy;
            threads[i].ctaid[2] = at / gx / gy;
        }
        if (kernel->waits) run_block(function->name, count, backwards);
        else for (int i = 0; i < count; i++) kernel->run(&threads[backwards ? count - 1 - i : i]);
        for (int i = 0; i < FENCE; i++) {
            if (shared[bytes + i] == (char)0xff) continue;
            fprintf(stderr, "tools/cuda: %s writes behind its shared memory\n", function->name);
            abort();
        }
    }
    function->launches++;
    function->milliseconds += milliseconds() - start;
    pthread_mutex_unlock(&lock);
    return SUCCESS;
}

struct launch { unsigned gx, gy, gz, bx, by, bz, shared_bytes; void *stream; };

int cuLaunchKernelEx(struct launch *at, struct function *function, void **arguments, void **extra) {
    return cuLaunchKernel(function, at->gx, at->gy, at->gz, at->bx, at->by, at->bz, at->shared_bytes, at->stream, arguments, extra);
}
