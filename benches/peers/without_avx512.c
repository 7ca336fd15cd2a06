/* Makes a processor with AVX-512 look like one that ends at AVX2, to every program it is loaded into:
 *
 *     cc -O2 -shared -fPIC -o target/without_avx512.so benches/peers/without_avx512.c
 *     LD_PRELOAD=$PWD/target/without_avx512.so python benches/peers/compare.py --peers eager onnxruntime
 *
 * Programs ask the instruction CPUID what there is. Linux can make it fault (arch_prctl, ARCH_SET_CPUID; x86-64 whose
 * /proc/cpuinfo has `cpuid_fault`), and the handler here answers in its place, without the bits of AVX-512 and AMX. Threads
 * inherit that, and LD_PRELOAD gives it to child processes.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ARCH_SET_CPUID 0x1012
#define BIT(n) (1u << (n))

static long set_cpuid(int allowed) {
    return syscall(SYS_arch_prctl, ARCH_SET_CPUID, allowed);
}

static void answer(int signal_number, siginfo_t *info, void *context) {
    (void)signal_number;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *instruction = (const unsigned char *)registers[REG_RIP];
    if (info->si_code != SI_KERNEL || instruction[0] != 0x0f || instruction[1] != 0xa2) {
        signal(SIGSEGV, SIG_DFL); /* Another fault: it comes again, and ends the program as ever. */
        return;
    }
    unsigned leaf = registers[REG_RAX], part = registers[REG_RCX];
    unsigned a = leaf, b, c = part, d;
    set_cpuid(1);
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    set_cpuid(0);
    if (leaf == 7 && part == 0) {
        /* F, DQ, IFMA, PF, ER, CD, BW, VL; VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ; 4VNNIW, 4FMAPS, VP2INTERSECT, FP16, AMX. */
        b &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31));
        c &= ~(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14));
        d &= ~(BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25));
    } else if (leaf == 7 && part == 1) {
        a &= ~(BIT(4) | BIT(5) | BIT(21)); /* AVX-VNNI, AVX512-BF16, AMX-FP16 */
    } else if (leaf == 13 && part == 0) {
        a &= ~(BIT(5) | BIT(6) | BIT(7) | BIT(17) | BIT(18)); /* the state of AVX-512 and AMX */
    }
    registers[REG_RAX] = a;
    registers[REG_RBX] = b;
    registers[REG_RCX] = c;
    registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

__attribute__((constructor)) static void begin(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = answer;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, NULL);
    if (set_cpuid(0) != 0) {
        perror("without_avx512: CPUID cannot be made to fault here");
        _exit(1);
    }
}
