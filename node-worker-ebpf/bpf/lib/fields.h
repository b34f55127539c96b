/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Values at a hook: raw arguments, numbers of a given width, text in kernel or user memory, files behind
 * pointers. */
#ifndef LICTOR_FIELDS_H
#define LICTOR_FIELDS_H

#ifdef LICTOR_KEPT_ARGUMENTS
#include "calls.h"
#endif
#include "classes.h"

const volatile struct lictor_shape shape = {};

/* One load at a constant offset each: the verifier refuses a context pointer that has been moved. */
#define CONTEXT_WORD(word)                                                                                   \
	({                                                                                                   \
		__u64 value;                                                                                 \
		asm volatile("%0 = *(u64 *)(%1 + " #word " * 8)" : "=r"(value) : "r"(ctx));                  \
		value;                                                                                       \
	})

#if defined(LICTOR_TYPED_ARGUMENTS) || defined(LICTOR_RAW_ARGUMENTS)
static __always_inline __u64 context_word(void *ctx, __u32 index)
{
	switch (index) {
	case 0:
		return CONTEXT_WORD(0);
	case 1:
		return CONTEXT_WORD(1);
	case 2:
		return CONTEXT_WORD(2);
	case 3:
		return CONTEXT_WORD(3);
	case 4:
		return CONTEXT_WORD(4);
	case 5:
		return CONTEXT_WORD(5);
	case 6:
		return CONTEXT_WORD(6);
	default:
		return 0;
	}
}
#endif

/*
 * Whether a pointer from the context is NULL. Some kernels take an LSM hook's pointers for never NULL, drop a test of
 * one as dead code, and read through it unprotected; but mmap_file has no file for anonymous memory. A number tells.
 */
static __always_inline bool is_null(const void *pointer)
{
	const void *copy = pointer;
	__u64 number = 0;

	if (as_number((__u64)pointer))
		return false;
	/* 32 bits that are zero do not make a NULL. */
	bpf_probe_read_kernel(&number, sizeof(number), &copy);
	return !number;
}

static __always_inline __u64 register_argument(const struct pt_regs *regs, __u32 index, bool syscall)
{
	switch (index) {
	case 0:
		return BPF_CORE_READ(regs, di);
	case 1:
		return BPF_CORE_READ(regs, si);
	case 2:
		return BPF_CORE_READ(regs, dx);
	case 3:
		/* The fourth argument of a system call comes in another register than a function's. */
		return syscall ? BPF_CORE_READ(regs, r10) : BPF_CORE_READ(regs, cx);
	case 4:
		return BPF_CORE_READ(regs, r8);
	case 5:
		return BPF_CORE_READ(regs, r9);
	default:
		return 0;
	}
}

static __always_inline __u64 source_value(void *ctx, __u32 source)
{
#if defined(LICTOR_TYPED_ARGUMENTS) || defined(LICTOR_RAW_ARGUMENTS)
	if (source == LICTOR_SOURCE_RETURN)
		return context_word(ctx, shape.argument_count);
	if (shape.flags & LICTOR_SHAPE_SYSCALL)
		return register_argument((struct pt_regs *)context_word(ctx, 0), source, true);
	return context_word(ctx, source);
#else
	const struct pt_regs *regs = ctx;

	if (source == LICTOR_SOURCE_RETURN)
		return BPF_CORE_READ(regs, ax);
	if (shape.flags & LICTOR_SHAPE_SYSCALL)
		regs = (const struct pt_regs *)BPF_CORE_READ(regs, di);
	return register_argument(regs, source, shape.flags & LICTOR_SHAPE_SYSCALL);
#endif
}

static __always_inline __u64 tracepoint_value(void *ctx, __u32 offset)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), ctx + offset);
	return value;
}

/* Widened to 64 bits, by sign when the type has one. */
static __always_inline __u64 number_of(__u64 raw, __u32 width, __u32 flags)
{
	__u32 shift = 64 - 8 * width;

	if (!width || width > 8)
		return raw;
	if (flags & LICTOR_FIELD_SIGNED)
		return (__u64)((__s64)(raw << shift) >> shift);
	return raw << shift >> shift;
}

/*
 * Of a field that is compared by the name of what its pointer leads to, the raw value is where the name stands.
 */
static __always_inline void point_to_name(struct event *e, __u32 i)
{
	if (shape.fields[i].kind == LICTOR_FIELD_MODULE && e->raw[i])
		e->raw[i] += bpf_core_field_offset(struct module, name);
	if (shape.fields[i].kind == LICTOR_FIELD_NET_DEVICE && e->raw[i])
		e->raw[i] += bpf_core_field_offset(struct net_device, name);
}

/* Whether the current system call is one of a 32-bit program. */
static __always_inline bool in_32_bit_call(void)
{
	return BPF_CORE_READ(bpf_get_current_task_btf(), thread_info.status) & TS_COMPAT;
}

/*
 * Whether a step of a field reads the memory of the program: at a hook of it, all but the registers themselves and what the
 * task leads to. What the kernel's structures point to there is no value of the kernel's.
 */
static __always_inline bool is_in_program(__u32 source, __u32 step)
{
	if (step && source == LICTOR_SOURCE_REGISTERS)
		return true;
	/* Known when the program is loaded: elsewhere nothing is left of this. */
	switch (shape.attach) {
	case LICTOR_ATTACH_UPROBE:
	case LICTOR_ATTACH_URETPROBE:
	case LICTOR_ATTACH_URETPROBE_ARGUMENTS:
	case LICTOR_ATTACH_UPROBE_REGISTERS:
		return source != LICTOR_SOURCE_TASK && source != LICTOR_SOURCE_REGISTERS;
	default:
		return false;
	}
}

/*
 * Goes from a field's raw value the steps that lead to what it stands for. By index, so that the programs have this once; the
 * last step reads no more than the value has, since nothing need be behind it.
 */
__noinline int follow_steps(struct event *e, __u32 field)
{
	__u32 i = field & 7, count, length;
	__u64 value, at, registers, index;
	long failed;
	bool last;

	if (!e)
		return 0;
	value = registers = e->raw[i];
	count = shape.fields[i].step_count;
	for (__u32 step = 0; step < LICTOR_MAX_STEPS && step < count; step++) {
		/* NULL, or an error in place of a pointer: nothing that has failed here. */
		if (value + MAX_ERRNO <= MAX_ERRNO)
			goto unread;
		at = value + (__s64)shape.fields[i].steps[step];
		last = step + 1 == count;
		if (last && shape.fields[i].flags & LICTOR_FIELD_ADDRESS) {
			value = at;
			break;
		}
		if (last && shape.flags & LICTOR_SHAPE_SET)
			e->size[i] = at;
		length = sizeof(value);
		/* Of a buffer, the width is that of its length. */
		if (last &&
		    (shape.fields[i].kind == LICTOR_FIELD_NUMBER || shape.fields[i].kind == LICTOR_FIELD_FD))
			length = ((shape.fields[i].width - 1) & 7) + 1;
		if (last && shape.fields[i].flags & LICTOR_FIELD_NARROW && length > 4)
			length = 4;
		value = 0;
		if (is_in_program(shape.fields[i].source, step))
			failed = bpf_probe_read_user(&value, length, (void *)at);
		else
			failed = bpf_probe_read_kernel(&value, length, (void *)at);
		if (failed) {
			count_site(LICTOR_SITE_READ);
			goto unread;
		}
		if (!step && shape.fields[i].flags & LICTOR_FIELD_INDEXED) {
			if (bpf_probe_read_kernel(&index, sizeof(index),
						  (void *)(registers + shape.fields[i].offset)))
				goto unread;
			value += index << (shape.fields[i].size_offset & 3);
		}
	}
	e->raw[i] = value;
	e->unread &= ~(1U << i);
	return 0;
unread:
	e->raw[i] = 0;
	e->unread |= 1U << i;
	return 0;
}

/* Whether a field is an argument of a call that ends. */
static __always_inline bool is_kept(__u32 i)
{
	return shape.attach == LICTOR_ATTACH_URETPROBE_ARGUMENTS &&
	       shape.fields[i].source < LICTOR_SOURCE_RETURN;
}

/* Whether a field has steps of which one led nowhere, or is an argument that was not kept. */
static __always_inline bool is_unread(const struct event *e, __u32 i)
{
	return (shape.fields[i].step_count || is_kept(i)) && e->unread >> i & 1;
}

/* What `source` has in this event. */
static __always_inline __u64 event_value(void *ctx, const struct event *e, __u32 source)
{
#ifdef LICTOR_KEPT_ARGUMENTS
	if (source < LICTOR_SOURCE_RETURN)
		return e->call.words[source];
#endif
	return source_value(ctx, source);
}

/* Where the source of a field is no argument and no return value. `to` is memory of the event: the stack is small. */
static __always_inline void special_source(void *ctx, __u32 source, __u64 *to)
{
	if (source == LICTOR_SOURCE_TASK) {
		*to = bpf_get_current_task();
		return;
	}
#ifdef LICTOR_TYPED_ARGUMENTS
	/* Of a system call. */
	if (bpf_get_func_arg(ctx, 0, to))
		*to = 0;
#elif defined(LICTOR_RAW_ARGUMENTS)
	*to = context_word(ctx, 0);
#else
	*to = (__u64)ctx;
	/* Those of a system call are what its function is called with. */
	if (shape.flags & LICTOR_SHAPE_SYSCALL)
		bpf_probe_read_kernel(to, sizeof(*to), ctx + bpf_core_field_offset(struct pt_regs, di));
#endif
}

/*
 * What has to be done to a value once it is loaded. Here, where kind and flags are known to the verifier, this costs other
 * fields nothing.
 */
static __always_inline void adjust(struct event *e, __u32 i)
{
	if (shape.fields[i].step_count)
		follow_steps(e, i);
	point_to_name(e, i);
	if (shape.fields[i].flags & LICTOR_FIELD_SYSCALL && in_32_bit_call())
		e->raw[i] |= LICTOR_SYSCALL_32;
}

/* Fills raw[i] and size[i]; `i` and with it every branch is known to the verifier. */
static __always_inline void field_load(void *ctx, struct event *e, __u32 i)
{
	/* Of a buffer, the width is that of its length. */
	__u32 width = shape.fields[i].width;
	__u32 source = shape.fields[i].source, size_source = shape.fields[i].size_source;

	if (source == LICTOR_SOURCE_CONSTANT) {
		e->raw[i] = (__u32)shape.fields[i].steps[0] | (__u64)(__u32)shape.fields[i].steps[1] << 32;
		return;
	}
	if (source == LICTOR_SOURCE_TASK || source == LICTOR_SOURCE_REGISTERS) {
		special_source(ctx, source, &e->raw[i]);
		adjust(e, i);
		if (shape.fields[i].flags & LICTOR_FIELD_NARROW && size_source != LICTOR_SOURCE_NONE)
			e->size[i] = number_of(source_value(ctx, size_source), width, 0);
		return;
	}
	if (shape.attach == LICTOR_ATTACH_TRACEPOINT) {
		if (size_source == LICTOR_SOURCE_CONSTANT) {
			e->raw[i] = (__u64)ctx + shape.fields[i].offset;
			e->size[i] = shape.fields[i].size_offset;
			return;
		}
		e->raw[i] = tracepoint_value(ctx, shape.fields[i].offset);
		/* The upper half is the length, which the text's NUL tells as well. */
		if (shape.fields[i].flags & LICTOR_FIELD_DATA_LOC)
			e->raw[i] = (__u64)ctx + (e->raw[i] & 0xffff);
		adjust(e, i);
		if (size_source != LICTOR_SOURCE_NONE)
			e->size[i] = number_of(tracepoint_value(ctx, shape.fields[i].size_offset), width, 0);
		return;
	}
#ifdef LICTOR_TYPED_ARGUMENTS
	/* By the helper: 6.1 does not let programs load an argument of type `const void *` themselves. */
	if (!(shape.flags & LICTOR_SHAPE_SYSCALL) && source != LICTOR_SOURCE_RETURN) {
		if (bpf_get_func_arg(ctx, source, &e->raw[i]))
			e->raw[i] = 0;
	} else
#endif
		e->raw[i] = event_value(ctx, e, source);
	if (is_kept(i))
		e->unread = e->call_lost ? e->unread | 1U << i : e->unread & ~(1U << i);
	adjust(e, i);
	if (size_source != LICTOR_SOURCE_NONE)
		e->size[i] = number_of(event_value(ctx, e, size_source), width, 0);
	if (shape.fields[i].flags & LICTOR_FIELD_RETURN_COPY) {
		__s64 returned = source_value(ctx, LICTOR_SOURCE_RETURN);

		/* What was copied: an error copied nothing, and nothing is longer than the buffer. */
		if (returned < 0)
			returned = 0;
		if (size_source == LICTOR_SOURCE_NONE || (__u64)returned < e->size[i])
			e->size[i] = returned;
	}
}

static __always_inline bool is_kernel_address(__u64 address)
{
	return (__s64)address < 0;
}

static __always_inline long read_memory(void *to, __u32 length, __u64 from)
{
	return is_kernel_address(from) ? bpf_probe_read_kernel(to, length, (void *)from)
				       : bpf_probe_read_user(to, length, (void *)from);
}

/* Bytes read, the NUL included; negative when it cannot be read. */
static __always_inline long read_string(void *to, __u32 length, __u64 from)
{
	long result;

	if (is_kernel_address(from))
		return bpf_probe_read_kernel_str(to, length, (void *)from);
	result = bpf_probe_read_user_str(to, length, (void *)from);
	/* Of an empty string in user memory, kernels count no NUL. */
	if (!result) {
		*(char *)to = 0;
		return 1;
	}
	return result;
}

#ifdef LICTOR_TYPED_ARGUMENTS
#define FILE_ARGUMENT(ctx) ((struct file *)context_word(ctx, shape.fields[shape.path_field & 7].source))
#else
#define FILE_ARGUMENT(ctx) ((struct file *)source_value(ctx, shape.fields[shape.path_field & 7].source))
#endif

/* The open file behind a descriptor of the current process; NULL when there is none. */
__noinline __u64 file_of_descriptor(__u32 fd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **slots, *file = NULL;

	if (fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	slots = BPF_CORE_READ(table, fd);
	bpf_probe_read_kernel(&file, sizeof(file), &slots[fd]);
	/* The low bits are used for flags by some kernels. */
	return (__u64)file & ~3ULL;
}

/* A file-like field's place: fills `id`, tells whether there is an open file. False when there is nothing. */
static __always_inline bool place_of_field(struct event *e, __u32 i, struct identity *id,
					   struct file **open_file)
{
	__u64 raw = e->raw[i];
	struct dentry *dentry;
	struct path *path;
	struct file *file;
	__u64 mnt = 0;

	*open_file = NULL;
	switch (shape.fields[i].kind) {
	case LICTOR_FIELD_DENTRY:
		dentry = (struct dentry *)raw;
		break;
	case LICTOR_FIELD_PATH:
		path = (struct path *)raw;
		dentry = BPF_CORE_READ(path, dentry);
		mnt = (__u64)BPF_CORE_READ(path, mnt);
		break;
	case LICTOR_FIELD_FILE:
	case LICTOR_FIELD_FD:
	case LICTOR_FIELD_BINPRM:
		file = (struct file *)raw;
		if (shape.fields[i].kind == LICTOR_FIELD_FD)
			file = (struct file *)file_of_descriptor(raw);
		if (shape.fields[i].kind == LICTOR_FIELD_BINPRM) {
			struct linux_binprm *binprm = (struct linux_binprm *)raw;

			file = BPF_CORE_READ(binprm, file);
		}
		if (!file)
			return false;
		*open_file = file;
		dentry = BPF_CORE_READ(file, f_path.dentry);
		mnt = (__u64)BPF_CORE_READ(file, f_path.mnt);
		break;
	default:
		return false;
	}
	if (!dentry)
		return false;
	identity_of_dentry((__u64)dentry, mnt, id);
	if (*open_file)
		id->inode = (__u64)BPF_CORE_READ(*open_file, f_inode);
	return true;
}

/* Whether a file-like field has no place because what its pointer leads to cannot be read. Another function for the stack. */
__noinline bool field_leads_nowhere(struct event *e, __u32 i)
{
	if (!e)
		return false;
	switch (shape.fields[i & 7].kind) {
	case LICTOR_FIELD_FILE:
	case LICTOR_FIELD_PATH:
	case LICTOR_FIELD_BINPRM:
		return leads_nowhere(e, e->raw[i & 7]);
	default:
		return false;
	}
}

/* A buffer whose length is told by another argument; without one it ends at its NUL, as a string does. */
static __always_inline bool has_length(__u32 i)
{
	return shape.fields[i & 7].kind == LICTOR_FIELD_CHAR_BUF &&
	       (shape.fields[i & 7].size_source != LICTOR_SOURCE_NONE ||
		shape.fields[i & 7].flags & LICTOR_FIELD_RETURN_COPY);
}

/* Added to the length of a text that goes on behind what was read. */
#define TEXT_CUT (1 << 16)

/*
 * Reads a text field to the front of s->text. Returns its length without NUL (text[length] is the NUL), or -1 when it
 * cannot be read whole. A buffer is text up to its first NUL, or its first 4,095 bytes; no text at all (NULL) is the
 * empty one.
 */
__noinline long text_of_field(struct event *e, struct scratch *s, __u32 i)
{
	struct filename *filename;
	__u32 length;
	long result;
	__u64 raw;

	if (!e || !s)
		return -1;
	raw = e->raw[i & 7];
	if (raw && shape.fields[i & 7].kind == LICTOR_FIELD_FILENAME) {
		filename = (struct filename *)raw;
		raw = (__u64)BPF_CORE_READ(filename, name);
	}
	if (!raw) {
		s->text[0] = 0;
		return 0;
	}
	if (has_length(i)) {
		length = LICTOR_MAX_BYTES - 1;
		if (e->size[i & 7] < length)
			length = e->size[i & 7] & (LICTOR_MAX_BYTES - 1);
		if (read_memory(&s->text[LICTOR_PATH_MAX], length, raw))
			return -1;
		s->text[(LICTOR_PATH_MAX + length) & (LICTOR_PATH_MAX * 2 - 1)] = 0;
		result = bpf_probe_read_kernel_str(s->text, LICTOR_PATH_MAX, &s->text[LICTOR_PATH_MAX]);
		if (result == LICTOR_PATH_MAX && e->size[i & 7] > LICTOR_MAX_BYTES - 1)
			return (result - 1) | TEXT_CUT;
	} else {
		/* One more than the longest that counts, to tell it from one that was cut; an array's end ends the text. */
		result = read_string(s->text,
				     (shape.fields[i & 7].max_length & (LICTOR_PATH_MAX * 2 - 1)) + 1, raw);
		if (result > LICTOR_PATH_MAX)
			return -1;
	}
	return result > 0 ? result - 1 : -1;
}

/* Bytes of a value that rate limits compare. */
#define HASHED_BYTES 40

/*
 * Five words that tell values of a kind from each other, at first 0. They stand where endpoints do, which nobody needs meanwhile:
 * on the stack there is no room for them.
 */
static __always_inline __u64 *words_to_hash(struct event *e)
{
	__builtin_memset(&e->endpoints, 0, HASHED_BYTES);
	return (__u64 *)&e->endpoints;
}

/* Of these words, or of the first five of endpoints. */
static __always_inline __u64 hash_of_words(const struct event *e, __u64 part)
{
	const __u64 *words = (const __u64 *)&e->endpoints;

#pragma unroll
	for (int i = 0; i < HASHED_BYTES / 8; i++)
		part = (part ^ words[i]) * 0x100000001b3ULL;
	return part;
}

#endif
