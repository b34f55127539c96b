/* What uprobes and probes of programs are tried on: a library's worth of functions, and probes as sys/sdt.h makes them. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "request.h"

/* A note for the place where it stands; `counter` is where the program counts who watches. */
#define PROBE(provider, name, counter, arguments, ...)                                                       \
	asm volatile("990: nop\n"                                                                            \
		     ".pushsection .note.stapsdt,\"\",\"note\"\n"                                            \
		     ".balign 4\n"                                                                           \
		     ".4byte 992f-991f, 994f-993f, 3\n"                                                      \
		     "991: .asciz \"stapsdt\"\n"                                                             \
		     "992: .balign 4\n"                                                                      \
		     "993: .8byte 990b\n"                                                                    \
		     ".8byte _.stapsdt.base\n"                                                               \
		     ".8byte " counter "\n"                                                                  \
		     ".asciz \"" provider "\"\n"                                                             \
		     ".asciz \"" name "\"\n"                                                                 \
		     ".asciz \"" arguments "\"\n"                                                            \
		     "994: .balign 4\n"                                                                      \
		     ".popsection\n"                                                                         \
		     ".ifndef _.stapsdt.base\n"                                                              \
		     ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"                 \
		     ".weak _.stapsdt.base\n"                                                                \
		     ".hidden _.stapsdt.base\n"                                                              \
		     "_.stapsdt.base: .space 1\n"                                                            \
		     ".size _.stapsdt.base, 1\n"                                                             \
		     ".popsection\n"                                                                         \
		     ".endif\n" ::__VA_ARGS__)

/* Raised by the kernel as long as somebody watches. */
__attribute__((section(".probes"), used)) volatile unsigned short lab_step_counter;

static long values[4] = {11, 22, 33, 44};

__attribute__((noinline)) int lab_function(int number, const char *text, unsigned long size)
{
	asm volatile("" ::: "memory");
	return number + (int)strlen(text) + (int)size;
}

__attribute__((noinline)) static void lab_step(int number, const char *text, long *from, long index)
{
	PROBE("lab", "step", "lab_step_counter", "-4@%0 8@%1 8@8(%2,%3,8) -8@16(%2) 4@$7", "r"(number),
	      "r"(text), "r"(from), "r"(index));
	if (number == 2)
		PROBE("lab", "step", "lab_step_counter", "-4@%0 8@%1 8@$1 -8@$-2 4@$8", "r"(number),
		      "r"(text));
	PROBE("lab", "plain", "0", "-1@$-3");
}

/* What is in memory can be written over by whoever watches, before the program goes on. */
__attribute__((noinline)) static int lab_answer(int number)
{
	volatile int answer = 10 * number;

	PROBE("lab", "answer", "0", "-4@%0 -4@%1", "m"(answer), "r"(number));
	return answer;
}

/* What an established policy is about. */
__attribute__((noinline)) static int lab_override(void)
{
	volatile int one = 1, two = 2, three = 3;

	PROBE("tetragon", "test_4B", "0", "-4@%0 -4@%1 -4@%2", "m"(one), "m"(two), "m"(three));
	return one;
}

/* What another one is about. */
__attribute__((noinline)) static void lab_usdt(int number, long answer)
{
	PROBE("test", "usdt3", "0", "-4@%0 -8@%1", "r"(number), "r"(answer));
}

/* What is called instead of each other. */
__attribute__((noinline)) int lab_chosen(int number)
{
	asm volatile("" ::: "memory");
	return 100 + number;
}

__attribute__((noinline)) int lab_other(int number)
{
	asm volatile("" ::: "memory");
	return 200 + number;
}

/* Calls itself, so that several calls have not ended at a time; jumps out of all of them when `leave` is set. */
static jmp_buf before;

__attribute__((noinline)) int lab_depth(int number, int leave)
{
	int below = 0;

	if (number > 1)
		below = lab_depth(number - 1, leave);
	else if (leave)
		longjmp(before, 1);
	asm volatile("" ::: "memory");
	return number + below;
}

/* Gives back what is in `from`, and makes it something else: what stands there at the end is not what stood there before. */
__attribute__((noinline)) long lab_fill(char *to, unsigned long room, char *from)
{
	unsigned long length = strlen(from);

	if (length > room)
		return -1;
	memcpy(to, from, length);
	*from = '!';
	return length;
}

/* What it is called with leads on. */
__attribute__((noinline)) struct lab_peer *lab_handle(struct lab_request *request, int flags)
{
	PROBE("lab", "handled", "0", "8@%0 8@%1", "r"(request), "m"(request));
	asm volatile("" ::: "memory");
	return request->peer;
}

/* Returns twice, first in a process that nobody has seen begin it. */
__attribute__((noinline)) int lab_fork(int number)
{
	int child = fork();

	if (child)
		waitpid(child, NULL, 0);
	asm volatile("" ::: "memory");
	return child ? number : -number;
}

/* Calls the kernel itself: libraries have no frame pointers, and stacks end there. */
__attribute__((noinline)) static long lab_unlink(const char *path)
{
	long result;

	asm volatile("syscall" : "=a"(result) : "a"(SYS_unlink), "D"(path) : "rcx", "r11", "memory");
	return result;
}

__attribute__((noinline)) static long lab_through(const char *path)
{
	long result = lab_unlink(path);

	asm volatile("" ::: "memory");
	return result;
}

int main(int argc, char **argv)
{
	const char *text = argc > 1 ? argv[1] : "";

	if (!strcmp(text, "unlink") && argc == 3) {
		long result = lab_through(argv[2]);

		/* Whoever wants to know what was executed looks it up while the process is there. */
		sleep(2);
		return !!result;
	}
	if (!strcmp(text, "override")) {
		printf("%d\n", lab_override());
		return 0;
	}
	if (!strcmp(text, "usdt")) {
		lab_usdt(argc - 1, 42);
		return 0;
	}
	if (!strcmp(text, "chosen") && argc == 3) {
		int (*volatile chosen)(int) = argc == 3 ? lab_chosen : lab_other;

		printf("%d\n", chosen(atoi(argv[2])));
		return 0;
	}
	if (!strcmp(text, "depth")) {
		if (!setjmp(before))
			lab_depth(3, 1);
		printf("%d\n", lab_depth(3, 0));
		return 0;
	}
	if (!strcmp(text, "fill") && argc == 3) {
		char to[64];

		printf("%.*s\n", (int)lab_fill(to, sizeof(to), argv[2]), to);
		return 0;
	}
	if (!strcmp(text, "handle") && argc > 2) {
		struct lab_peer peer = {.port = 8080, .host = argc > 3 ? argv[3] : NULL};
		struct lab_request request = {.code = -7, .sizes = {1, 1L << 40}};

		strncpy(request.name, argv[2], sizeof(request.name));
		request.peer = argc > 3 ? &peer : NULL;
		return lab_handle(&request, argc) != request.peer;
	}
	if (!strcmp(text, "fork")) {
		if (lab_fork(7) == -7)
			exit(0);
		return 0;
	}
	if (!strcmp(text, "answer") && argc == 3) {
		printf("%d\n", lab_answer(atoi(argv[2])));
		return 0;
	}
	printf("%d %d\n", lab_function(argc, text, 3), lab_step_counter);
	for (int number = 1; number < argc; number++)
		lab_step(number, argv[number], values, 1);
	return 0;
}
