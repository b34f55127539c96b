//! The machine that computes expressions, as the programs have it: from the words of the tables.

use lictor_node_worker_ebpf as wire;
use lictor_node_worker_ebpf::lictor_expression_operation as operation;

/// What one expression of a column comes to.
pub(crate) struct Found {
    /// The vectors of its rules.
    pub(crate) vectors: u64,
    /// Whether it holds; `None` = a number could not be read.
    pub(crate) holds: Option<bool>,
}

/// Goes through the words of a column. `raw` has the raw values of the fields; bit n of `unread`: that of field n could not
/// be read.
pub(crate) fn run(words: &[u64], raw: &[u64], unread: u8) -> Vec<Found> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let (begin, vectors) = (words[at], words[at + 1]);
        assert_eq!(begin as u8, operation::LICTOR_EXPRESSION_BEGIN as u8, "word {at}");
        let end = at + 1 + (begin >> 32) as usize;
        assert_eq!(words[end - 1], u64::from(operation::LICTOR_EXPRESSION_END), "word {}", end - 1);
        let lacks = unread & (begin >> 8) as u8 != 0;
        let code = &words[at + 2..end - 1];
        found.push(Found { vectors, holds: (!lacks).then(|| holds(code, raw)) });
        at = end;
    }
    assert!(found.len() <= wire::LICTOR_MAX_EXPRESSIONS as usize, "{} expressions", found.len());
    found
}

/// Whether an expression with these instructions holds.
pub(crate) fn holds(code: &[u64], raw: &[u64]) -> bool {
    assert!(code.len() <= wire::LICTOR_EXPRESSION_STEPS as usize, "{} steps", code.len());
    let mut stack: Vec<u64> = Vec::new();
    for word in code {
        let [kind, operand, form, result, ..] = word.to_le_bytes();
        let right = match u32::from(operand) {
            wire::LICTOR_OPERAND_STACK => pop(&mut stack),
            wire::LICTOR_OPERAND_CONSTANT => i64::from(((word >> 32) as u32).cast_signed()).cast_unsigned(),
            field => formed(raw[(field - wire::LICTOR_OPERAND_FIELD) as usize], form),
        };
        let joined = match u32::from(kind) {
            operation::LICTOR_EXPRESSION_PUSH => right,
            operation::LICTOR_EXPRESSION_SELECT => {
                let (then, condition) = (pop(&mut stack), pop(&mut stack));
                if condition != 0 { then } else { right }
            }
            kind => join(kind, pop(&mut stack), right),
        };
        stack.push(formed(joined, result));
        assert!(stack.len() <= wire::LICTOR_EXPRESSION_DEPTH as usize, "{} values", stack.len());
    }
    assert_eq!(stack.len(), 1, "what is left");
    stack[0] != 0
}

fn pop(stack: &mut Vec<u64>) -> u64 {
    let Some(value) = stack.pop() else { unreachable!("nothing is on the stack") };
    value
}

fn join(kind: operation::Type, left: u64, right: u64) -> u64 {
    match kind {
        operation::LICTOR_EXPRESSION_HIGH => u64::from(left as u32) | right << 32,
        operation::LICTOR_EXPRESSION_ADD => left.wrapping_add(right),
        operation::LICTOR_EXPRESSION_SUBTRACT => left.wrapping_sub(right),
        operation::LICTOR_EXPRESSION_AND => left & right,
        operation::LICTOR_EXPRESSION_OR => left | right,
        operation::LICTOR_EXPRESSION_XOR => left ^ right,
        operation::LICTOR_EXPRESSION_EQUAL => u64::from(left == right),
        operation::LICTOR_EXPRESSION_UNEQUAL => u64::from(left != right),
        operation::LICTOR_EXPRESSION_LESS => u64::from(left < right),
        operation::LICTOR_EXPRESSION_LESS_EQUAL => u64::from(left <= right),
        operation::LICTOR_EXPRESSION_LESS_SIGNED => u64::from(left.cast_signed() < right.cast_signed()),
        operation::LICTOR_EXPRESSION_LESS_EQUAL_SIGNED => {
            u64::from(left.cast_signed() <= right.cast_signed())
        }
        other => unreachable!("operation {other}"),
    }
}

fn formed(value: u64, form: u8) -> u64 {
    let shift = u32::from(form) & 63;
    if u32::from(form) & wire::LICTOR_FORM_SIGNED != 0 {
        ((value << shift).cast_signed() >> shift).cast_unsigned()
    } else {
        value << shift >> shift
    }
}
