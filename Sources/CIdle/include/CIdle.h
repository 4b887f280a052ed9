// Keeps idle processors from halting while requests follow each other.
//
// Each request to a FUSE server wakes two threads that nearly always sleep on idle processors. In a virtual machine an idle processor is halted, and it is the host
// that has to wake it: ten times the work of the request. Through /dev/cpu_dma_latency (Documentation/power/pm_qos_interface.rst) Linux lets a process ask that
// idle processors be there at once: they look for work instead. It costs their time, so it is asked for in bursts alone, and for a part of the time.
//
// The state is the process's. Every function may be called from any thread.
#pragma once

// From here on bursts are noticed. 0, or an errno: ENOTSUP where the kernel halts no processor through the driver "haltpoll", or where there are more than
// CIDLE_PROCESSORS, each of which would look for work; EACCES or others from opening the device, which is root's.
int cidle_start(void);
#define CIDLE_PROCESSORS 8

// A request was answered that somebody has waited for. Costs next to nothing, and nothing before `cidle_start`.
void cidle_answered(void);
