//! Instructions for conditions: those that programs carry out, see `LICTOR_EXPRESSION_*` of the wire contract.

use super::check::{IntegerType, Operation, Term, TermKind};
use super::{Mistake, Name};
use lictor_node_worker_ebpf as wire;
use lictor_node_worker_ebpf::lictor_expression_operation as operation;
use std::collections::BTreeSet;

/// Instructions that leave 1 (it holds) or 0 on the stack.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Code<A>(Vec<Instruction<A>>);

/// Bytes and sign that a value is cut to and widened from. Eight bytes: it stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Form {
    width: u8,
    signed: bool,
}

const WHOLE: Form = Form { width: 8, signed: false };

/// Takes an operand, joins it with the uppermost value of the stack, and gives the result its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Instruction<A> {
    action: Action,
    operand: Operand<A>,
    /// Of the result.
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    /// The operand becomes the uppermost value.
    Push,
    /// The operand becomes the high half of the uppermost value.
    High,
    /// The result replaces the uppermost value. Comparisons of integers with a sign are others.
    Join { operation: Operation, signed: bool },
    /// The two uppermost values are a condition and what it stands for if it holds; otherwise it is the operand.
    Select,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Operand<A> {
    /// The uppermost value, which is taken away.
    Stack,
    Constant(i32),
    /// What is read for a value, in that form.
    Value(A, Form),
}

/// The instructions that find out what a condition comes to.
pub(super) fn compile<A: Copy>(
    term: &Term,
    named: &dyn Fn(Name) -> Option<(A, (u8, bool))>,
) -> Result<Code<A>, Mistake> {
    let mut compiler = Compiler { named, code: Vec::new(), depth: 0 };
    compiler.emit(term)?;
    Ok(Code(compiler.code))
}

impl<A: Copy + Ord> Code<A> {
    /// What is read for what it names.
    pub(crate) fn values(&self) -> BTreeSet<A> {
        let operands = self.0.iter().filter_map(|instruction| match instruction.operand {
            Operand::Value(value, _) => Some(value),
            Operand::Stack | Operand::Constant(_) => None,
        });
        operands.collect()
    }

    /// As programs read them. `index` is the field that has a value.
    pub(crate) fn words(&self, index: impl Fn(A) -> u8) -> Vec<u64> {
        self.0.iter().map(|instruction| instruction.word(&index)).collect()
    }
}

impl<A: Copy> Instruction<A> {
    fn word(&self, index: impl Fn(A) -> u8) -> u64 {
        let (source, form, constant) = match self.operand {
            Operand::Stack => (wire::LICTOR_OPERAND_STACK, WHOLE, 0),
            Operand::Constant(constant) => (wire::LICTOR_OPERAND_CONSTANT, WHOLE, constant),
            Operand::Value(value, form) => (wire::LICTOR_OPERAND_FIELD | u32::from(index(value)), form, 0),
        };
        let low = u32::from_le_bytes([self.action.wire(), source as u8, form.wire(), self.form.wire()]);
        u64::from(low) | u64::from(constant.cast_unsigned()) << 32
    }
}

impl Form {
    fn wire(self) -> u8 {
        let unused = 64 - 8 * self.width;
        if self.signed { unused | wire::LICTOR_FORM_SIGNED as u8 } else { unused }
    }
}

impl Action {
    fn wire(self) -> u8 {
        let code = match self {
            Self::Push => operation::LICTOR_EXPRESSION_PUSH,
            Self::High => operation::LICTOR_EXPRESSION_HIGH,
            Self::Select => operation::LICTOR_EXPRESSION_SELECT,
            Self::Join { operation: joined, signed } => match (joined, signed) {
                (Operation::Add, _) => operation::LICTOR_EXPRESSION_ADD,
                (Operation::Subtract, _) => operation::LICTOR_EXPRESSION_SUBTRACT,
                (Operation::And, _) => operation::LICTOR_EXPRESSION_AND,
                (Operation::Or, _) => operation::LICTOR_EXPRESSION_OR,
                (Operation::Xor, _) => operation::LICTOR_EXPRESSION_XOR,
                (Operation::Equal, _) => operation::LICTOR_EXPRESSION_EQUAL,
                (Operation::Unequal, _) => operation::LICTOR_EXPRESSION_UNEQUAL,
                (Operation::Less, false) => operation::LICTOR_EXPRESSION_LESS,
                (Operation::LessEqual, false) => operation::LICTOR_EXPRESSION_LESS_EQUAL,
                (Operation::Less, true) => operation::LICTOR_EXPRESSION_LESS_SIGNED,
                (Operation::LessEqual, true) => operation::LICTOR_EXPRESSION_LESS_EQUAL_SIGNED,
            },
        };
        code as u8
    }
}

struct Compiler<'a, A> {
    named: &'a dyn Fn(Name) -> Option<(A, (u8, bool))>,
    code: Vec<Instruction<A>>,
    /// Values on the stack.
    depth: u32,
}

impl<A: Copy> Compiler<'_, A> {
    fn add(&mut self, action: Action, operand: Operand<A>, form: Form) -> Result<(), Mistake> {
        if let Operand::Stack = operand {
            self.depth -= 1;
        }
        match action {
            Action::Push => self.depth += 1,
            Action::Select => self.depth -= 1,
            Action::High | Action::Join { .. } => {}
        }
        if self.depth > wire::LICTOR_EXPRESSION_DEPTH {
            let found = format!("an expression of which {} values wait for another at once", self.depth);
            let mistake = Mistake::new(0, found, format!("at most {}", wire::LICTOR_EXPRESSION_DEPTH));
            return Err(mistake.hint("`a + (b + (c + d))` makes them wait, `a + b + c + d` does not"));
        }
        self.code.push(Instruction { action, operand, form });
        if self.code.len() > wire::LICTOR_EXPRESSION_STEPS as usize {
            let allowed = format!("at most {}", wire::LICTOR_EXPRESSION_STEPS);
            let found = format!("an expression of more than {} steps", wire::LICTOR_EXPRESSION_STEPS);
            let hint = "filters of a selector are ANDed: write several; InMap compares one value with many";
            return Err(Mistake::new(0, found, allowed).hint(hint));
        }
        Ok(())
    }

    fn read(&self, name: Name) -> Result<(A, (u8, bool)), Mistake> {
        let unknown = || Mistake::new(0, format!("`{name}`, which is not read"), "values that are read");
        (self.named)(name).ok_or_else(unknown)
    }

    /// Leaves the value of a term on the stack.
    fn emit(&mut self, term: &Term) -> Result<(), Mistake> {
        match &term.kind {
            TermKind::Constant(value) => {
                // The low 64 bits of it, in halves.
                let bits = value.rem_euclid(1 << 64) as u64;
                let (low, high) = ((bits as u32).cast_signed(), ((bits >> 32) as u32).cast_signed());
                self.add(Action::Push, Operand::Constant(low), WHOLE)?;
                if i64::from(low).cast_unsigned() != bits {
                    self.add(Action::High, Operand::Constant(high), WHOLE)?;
                }
                Ok(())
            }
            TermKind::Named(name, kind) => {
                let (value, read) = self.read(*name)?;
                let form = if holds(*kind, read) { WHOLE } else { form_of(*kind) };
                self.add(Action::Push, Operand::Value(value, form_of(read)), form)
            }
            TermKind::Convert(inner) => {
                self.emit(inner)?;
                if converts(inner.of, term.of) {
                    self.add(Action::Push, Operand::Stack, form_of((term.of.width, term.of.signed)))?;
                }
                Ok(())
            }
            TermKind::Binary(operation, left, right) => {
                self.emit(left)?;
                let wraps = matches!(operation, Operation::Add | Operation::Subtract) && term.of.width < 8;
                let form = if wraps { form_of((term.of.width, term.of.signed)) } else { WHOLE };
                let ordered = matches!(operation, Operation::Less | Operation::LessEqual);
                let action = Action::Join { operation: *operation, signed: ordered && left.of.signed };
                let operand = self.operand(right)?;
                self.add(action, operand, form)
            }
            TermKind::Choice(parts) => {
                let [condition, then, otherwise] = &**parts;
                self.emit(condition)?;
                self.emit(then)?;
                let operand = self.operand(otherwise)?;
                self.add(Action::Select, operand, WHOLE)
            }
            TermKind::Member(value, list) => {
                let equal = Action::Join { operation: Operation::Equal, signed: false };
                let either = Action::Join { operation: Operation::Or, signed: false };
                for (place, one) in list.iter().enumerate() {
                    self.emit(value)?;
                    let operand = self.operand(one)?;
                    self.add(equal, operand, WHOLE)?;
                    if place > 0 {
                        self.add(either, Operand::Stack, WHOLE)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// A term as an operand: at once, or by way of the stack.
    fn operand(&mut self, term: &Term) -> Result<Operand<A>, Mistake> {
        match &term.kind {
            TermKind::Constant(value) => {
                let bits = (value.rem_euclid(1 << 64) as u64).cast_signed();
                if let Ok(constant) = i32::try_from(bits) {
                    return Ok(Operand::Constant(constant));
                }
            }
            TermKind::Named(name, kind) => {
                let (value, read) = self.read(*name)?;
                if holds(*kind, read) {
                    return Ok(Operand::Value(value, form_of(read)));
                }
            }
            TermKind::Convert(inner) if !converts(inner.of, term.of) => return self.operand(inner),
            TermKind::Convert(_) | TermKind::Binary(..) | TermKind::Choice(_) | TermKind::Member(..) => {}
        }
        self.emit(term)?;
        Ok(Operand::Stack)
    }
}

fn form_of((width, signed): (u8, bool)) -> Form {
    if width == 8 { WHOLE } else { Form { width, signed } }
}

/// Whether a value of type `other` is the same one of type `kind`, in 64 bits.
fn holds(kind: (u8, bool), other: (u8, bool)) -> bool {
    kind.0 == 8 || kind == other || kind.0 > other.0 && (kind.1 || !other.1)
}

/// Whether a conversion changes the 64 bits of some value.
fn converts(from: IntegerType, to: IntegerType) -> bool {
    to.width < 8 && from != to
}
