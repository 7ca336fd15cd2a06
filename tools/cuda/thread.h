// What a translated kernel knows of the thread that it runs as, and what the driver knows of the kernel.
#pragma once
#include <stdint.h>

struct thread {
    char *shared;      // the block's shared memory: addresses of that space count from here
    const char *param; // the kernel's parameters, as PTX lays them out
    uint32_t tid[3], ctaid[3], ntid[3], nctaid[3];
    uint32_t linear; // its number in the block
    void (*barrier)(struct thread *);
    uint32_t (*shuffle)(struct thread *, uint32_t value, uint32_t lane, uint32_t clamp, int mode, uint32_t *inside);
    uint32_t (*ballot)(struct thread *, int yes);
    // The driver's own.
    uint32_t value;
    int state;
    void *stack;
};

#define PARAMETERS 1024

struct kernel {
    void (*run)(struct thread *);
    int waits; // whether its threads wait for each other
    int parameters, offset[PARAMETERS], size[PARAMETERS];
    int fixed_shared; // bytes of shared memory before those that a launch asks for
};
