/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Instructions that expressions become. A part of wire.h. */
#ifndef LICTOR_MACHINE_H
#define LICTOR_MACHINE_H

/*
 * The words of an EXPRESSION column, one expression after the other: a word BEGIN, a word with two vectors, instructions, a
 * word END. The low vector has the rules that want the expression to hold, the high one those of them that do not hold where
 * a number could not be read.
 *
 * An instruction takes an operand, joins it with the uppermost value of a stack, and leaves the result there. From the
 * lowest bit of its word: 8 bits LICTOR_EXPRESSION_*, 8 bits LICTOR_OPERAND_*, 8 bits the form of a field, 8 bits the form
 * of the result, 32 bits a constant with a sign. Numbers are of 64 bits and wrap; true is 1, false 0.
 */
enum lictor_expression_operation {
	/* The 8 bits after it: fields that can be unread, one bit for each; the constant: words from the vectors to the next one. */
	LICTOR_EXPRESSION_BEGIN,
	/* Whether it holds is the one value of the stack. */
	LICTOR_EXPRESSION_END,
	/* The operand becomes the uppermost value. */
	LICTOR_EXPRESSION_PUSH,
	/* The operand becomes the high half of the uppermost value. */
	LICTOR_EXPRESSION_HIGH,
	LICTOR_EXPRESSION_ADD,
	LICTOR_EXPRESSION_SUBTRACT,
	LICTOR_EXPRESSION_AND,
	LICTOR_EXPRESSION_OR,
	LICTOR_EXPRESSION_XOR,
	LICTOR_EXPRESSION_EQUAL,
	LICTOR_EXPRESSION_UNEQUAL,
	LICTOR_EXPRESSION_LESS,
	LICTOR_EXPRESSION_LESS_EQUAL,
	LICTOR_EXPRESSION_LESS_SIGNED,
	LICTOR_EXPRESSION_LESS_EQUAL_SIGNED,
	/* Below the operand stand a condition and, uppermost, what takes the place of all three if it holds; else the operand does. */
	LICTOR_EXPRESSION_SELECT,
};
/* The uppermost value, which is taken away. */
#define LICTOR_OPERAND_STACK 0
#define LICTOR_OPERAND_CONSTANT 1
/* And the index of a field. */
#define LICTOR_OPERAND_FIELD 8
/* Form of a value: how many of its high bits are cut off, and whether it is then widened again by its sign. */
#define LICTOR_FORM_SIGNED 128

#endif
