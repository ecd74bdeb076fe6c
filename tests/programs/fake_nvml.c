/* Stands in for NVIDIA's libnvidia-ml.so.1: two GPUs, the second with MIG on and without a temperature.
 * Signatures and structures are those of nvml.h. FAKE_NVML_PID names a process on the first GPU,
 * FAKE_NVML_FAIL makes nvmlInit fail with that code (18: the library does not fit the loaded driver). */
#include <stdlib.h>
#include <string.h>

typedef int result;
enum { SUCCESS = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };
static const unsigned long long GIB = 1ULL << 30;
/* The handles: the address says which device. */
static char devices[2], slice;

typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned gpu, memory; } utilization;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } process;

static result put(char *to, unsigned length, const char *text) {
    if (strlen(text) + 1 > length) return INSUFFICIENT_SIZE;
    strcpy(to, text);
    return SUCCESS;
}

result nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    const char *code = getenv("FAKE_NVML_FAIL");
    return code ? atoi(code) : SUCCESS;
}
result nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
result nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(result code) { return code == 18 ? "Driver/library version mismatch" : "Unknown Error"; }
result nvmlSystemGetDriverVersion(char *to, unsigned length) { return put(to, length, "580.65.06"); }
result nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 13000; return SUCCESS; }
result nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return SUCCESS; }

result nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    if (index > 1) return NOT_FOUND;
    *device = &devices[index];
    return SUCCESS;
}
result nvmlDeviceGetUUID(void *device, char *to, unsigned length) {
    return put(to, length, device == &slice ? "MIG-3f" : device == &devices[0] ? "GPU-0a" : "GPU-1b");
}
result nvmlDeviceGetName(void *device, char *to, unsigned length) {
    return put(to, length, device == &slice ? "NVIDIA A100 MIG 1g.10gb" : device == &devices[0] ? "NVIDIA L4" : "NVIDIA A100");
}
result nvmlDeviceGetMemoryInfo(void *device, memory *to) {
    to->total = (device == &slice ? 10 : device == &devices[0] ? 24 : 80) * GIB;
    to->used = (device == &slice ? 1 : device == &devices[0] ? 6 : 2) * GIB;
    to->free = to->total - to->used;
    return SUCCESS;
}
result nvmlDeviceGetUtilizationRates(void *device, utilization *to) {
    if (device != &devices[0]) return NOT_SUPPORTED;
    to->gpu = 87;
    to->memory = 40;
    return SUCCESS;
}
result nvmlDeviceGetTemperature(void *device, int sensor, unsigned *to) {
    (void)sensor;
    if (device != &devices[0]) return NOT_SUPPORTED;
    *to = 61;
    return SUCCESS;
}
result nvmlDeviceGetPowerUsage(void *device, unsigned *to) { *to = device == &devices[0] ? 71500 : 55000; return SUCCESS; }
result nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *to) { (void)device; *to = 72000; return SUCCESS; }
result nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending) {
    if (device == &devices[0]) return NOT_SUPPORTED;
    *current = *pending = 1;
    return SUCCESS;
}
result nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count) { (void)device; *count = 7; return SUCCESS; }
result nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **to) {
    (void)device;
    if (index != 2) return NOT_FOUND;
    *to = &slice;
    return SUCCESS;
}
result nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, process *to) {
    const char *pid = getenv("FAKE_NVML_PID");
    unsigned wanted = device == &devices[0] ? 2 : 0, room = *count;
    *count = wanted;
    if (wanted > room) return INSUFFICIENT_SIZE;
    if (wanted) {
        to[0] = (process){4194303, 1 * GIB, ~0u, ~0u}; /* in another pid namespace: nothing is known of it */
        to[1] = (process){pid ? atoi(pid) : 1, 5 * GIB, ~0u, ~0u};
    }
    return SUCCESS;
}
