//! Types of expressions, and what they mean.

use super::code::{self, Code};
use super::parse::{Binary, Conversion, NODES_MAX, Node, NodeKind};
use super::{Mistake, Name};
use std::cell::Cell;

/// Type of an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntegerType {
    /// 4 or 8 bytes.
    pub width: u8,
    /// Two's complement.
    pub signed: bool,
}

impl IntegerType {
    /// The type that a value of so many bytes and of that sign has.
    pub fn of((width, signed): (u8, bool)) -> Self {
        Self { width: if width <= 4 { 4 } else { 8 }, signed }
    }

    fn limits(self) -> (i128, i128) {
        let bits = 8 * u32::from(self.width);
        if self.signed { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) }
    }
}

/// As expressions name it.
impl std::fmt::Display for IntegerType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match (self.width, self.signed) {
            (4, true) => "int32",
            (4, false) => "uint32",
            (_, true) => "int",
            (_, false) => "uint",
        })
    }
}

/// Type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Boolean,
    Integer(IntegerType),
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boolean => f.write_str("bool"),
            Self::Integer(integer) => integer.fmt(f),
        }
    }
}

/// What is known of a type without looking at what surrounds the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guess {
    Known(Type),
    /// Written numbers alone: an integer of any type, but for the sign where `u` stands behind one.
    Written {
        unsigned: bool,
    },
}

/// An expression whose types fit together, and that is true or false.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition(Term);

/// A value of known type. Of what is true or false the type is [`BOOLEAN`], and true is 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) of: IntegerType,
    pub(super) kind: TermKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TermKind {
    Constant(i128),
    /// A value of the hook; bytes and sign of its own type.
    Named(Name, (u8, bool)),
    Binary(Operation, Box<Term>, Box<Term>),
    /// The condition, what holds if it does, what holds otherwise.
    Choice(Box<[Term; 3]>),
    /// Whether the value is one of a list.
    Member(Box<Term>, Vec<Term>),
    Convert(Box<Term>),
}

/// What joins two values of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Add,
    Subtract,
    And,
    Or,
    Xor,
    Equal,
    Unequal,
    Less,
    LessEqual,
}

const BOOLEAN: IntegerType = IntegerType { width: 8, signed: false };

impl Condition {
    /// Whether it holds for these values, each within its type.
    pub fn holds(&self, named: &dyn Fn(Name) -> i128) -> bool {
        self.0.value(named) != 0
    }

    /// The instructions that find out. `named` tells what is read for a name, and bytes and sign of what is read.
    ///
    /// # Errors
    ///
    /// When it takes too many of them, or too many values at a time.
    pub(crate) fn compile<A: Copy>(
        &self,
        named: &dyn Fn(Name) -> Option<(A, (u8, bool))>,
    ) -> Result<Code<A>, Mistake> {
        code::compile(&self.0, named)
    }
}

impl Term {
    fn boolean(kind: TermKind) -> Self {
        Self { of: BOOLEAN, kind }
    }

    /// Without bounds, then brought to its type.
    fn value(&self, named: &dyn Fn(Name) -> i128) -> i128 {
        let value = match &self.kind {
            TermKind::Constant(value) => *value,
            TermKind::Named(name, _) => named(*name),
            TermKind::Binary(operation, left, right) => {
                let (left, right) = (left.value(named), right.value(named));
                match operation {
                    Operation::Add => left + right,
                    Operation::Subtract => left - right,
                    Operation::And => left & right,
                    Operation::Or => left | right,
                    Operation::Xor => left ^ right,
                    Operation::Equal => i128::from(left == right),
                    Operation::Unequal => i128::from(left != right),
                    Operation::Less => i128::from(left < right),
                    Operation::LessEqual => i128::from(left <= right),
                }
            }
            TermKind::Choice(parts) => {
                let [condition, then, otherwise] = &**parts;
                if condition.value(named) != 0 { then.value(named) } else { otherwise.value(named) }
            }
            TermKind::Member(value, list) => {
                let value = value.value(named);
                i128::from(list.iter().any(|one| one.value(named) == value))
            }
            TermKind::Convert(inner) => inner.value(named),
        };
        let modulus = 1_i128 << (8 * u32::from(self.of.width));
        let positive = value.rem_euclid(modulus);
        if self.of.signed && positive >= modulus / 2 { positive - modulus } else { positive }
    }
}

/// The condition that an expression is.
pub(super) fn check(root: &Node, named: &dyn Fn(Name) -> Option<(u8, bool)>) -> Result<Condition, Mistake> {
    let checker = Checker { named, guesses: [const { Cell::new(None) }; NODES_MAX] };
    if let Guess::Known(Type::Integer(_)) | Guess::Written { .. } = checker.guess(root)? {
        let found = format!("a value of type {}", checker.guess(root)?.settled());
        let mistake = Mistake::new(root.column, found, "a condition, which is true or false");
        return Err(mistake.hint("compare it: `... != 0`"));
    }
    checker.term(root, Type::Boolean).map(Condition)
}

impl Guess {
    /// The type where nothing else tells.
    fn settled(self) -> Type {
        match self {
            Self::Known(known) => known,
            Self::Written { unsigned } => Type::Integer(IntegerType { width: 8, signed: !unsigned }),
        }
    }
}

struct Checker<'a> {
    named: &'a dyn Fn(Name) -> Option<(u8, bool)>,
    /// By part: asked for at each level around it, so it is found out once.
    guesses: [Cell<Option<Guess>>; NODES_MAX],
}

impl Checker<'_> {
    fn named(&self, name: Name, column: usize) -> Result<(u8, bool), Mistake> {
        let unknown = || Mistake::new(column, format!("`{name}`"), "values that are integers");
        (self.named)(name).ok_or_else(unknown)
    }

    fn guess(&self, node: &Node) -> Result<Guess, Mistake> {
        let known = self.guesses.get(node.id);
        if let Some(guess) = known.and_then(Cell::get) {
            return Ok(guess);
        }
        let guess = self.found_out(node)?;
        if let Some(known) = known {
            known.set(Some(guess));
        }
        Ok(guess)
    }

    fn found_out(&self, node: &Node) -> Result<Guess, Mistake> {
        Ok(match &node.kind {
            NodeKind::Boolean(_) | NodeKind::Not(_) | NodeKind::Member(..) => Guess::Known(Type::Boolean),
            NodeKind::Integer { unsigned, .. } => Guess::Written { unsigned: *unsigned },
            NodeKind::Named(name) => {
                let kind = self.named(*name, node.column)?;
                Guess::Known(Type::Integer(IntegerType::of(kind)))
            }
            NodeKind::Negative(inner) | NodeKind::BitNot(inner) => match self.guess(inner)? {
                Guess::Known(Type::Boolean) => {
                    return Err(Mistake::new(inner.column, "a value of type bool", "an integer"));
                }
                integer @ (Guess::Known(Type::Integer(_)) | Guess::Written { .. }) => integer,
            },
            NodeKind::Convert(Conversion { width, signed }, _) => {
                Guess::Known(Type::Integer(IntegerType { width: *width, signed: *signed }))
            }
            NodeKind::Choice(parts) => self.common(node, ":", &[&parts[1], &parts[2]])?,
            NodeKind::Binary(binary, left, right) => match binary {
                Binary::Or
                | Binary::And
                | Binary::Equal
                | Binary::Unequal
                | Binary::Less
                | Binary::LessEqual
                | Binary::Greater
                | Binary::GreaterEqual => Guess::Known(Type::Boolean),
                Binary::Add | Binary::Subtract | Binary::BitAnd | Binary::BitOr | Binary::BitXor => {
                    self.common(node, binary.name(), &[left, right])?
                }
            },
        })
    }

    /// The type that all of them can have.
    fn common(&self, node: &Node, name: &str, parts: &[&Node]) -> Result<Guess, Mistake> {
        let mut all: Option<Guess> = None;
        for part in parts {
            let one = self.guess(part)?;
            all = Some(match all {
                None => one,
                Some(before) => join(before, one).ok_or_else(|| clash(node, name, before, one))?,
            });
        }
        Ok(all.unwrap_or(Guess::Known(Type::Boolean)))
    }

    /// The value as one of type `wanted`.
    fn term(&self, node: &Node, wanted: Type) -> Result<Term, Mistake> {
        let guess = self.guess(node)?;
        let own = match (guess, wanted) {
            (Guess::Known(own), _) => own,
            (Guess::Written { unsigned: true }, Type::Integer(IntegerType { signed: true, .. })) => {
                let found = format!("a number with `u`, where the type is {wanted}");
                let mistake = Mistake::new(node.column, found, "numbers without `u` there");
                return Err(mistake.hint("or convert what it is compared with, as `uint(...)`"));
            }
            (Guess::Written { .. }, Type::Integer(_)) => wanted,
            (Guess::Written { .. }, Type::Boolean) => guess.settled(),
        };
        match (own, wanted) {
            (Type::Boolean, Type::Boolean) => self.build(node, BOOLEAN),
            (Type::Integer(own), Type::Integer(wanted)) if own == wanted => self.build(node, own),
            (Type::Integer(own), Type::Integer(wanted))
                if own.signed == wanted.signed && own.width < wanted.width =>
            {
                let inner = self.build(node, own)?;
                Ok(Term { of: wanted, kind: TermKind::Convert(Box::new(inner)) })
            }
            (Type::Integer(_), Type::Boolean) => {
                let found = format!("a value of type {own}");
                let mistake = Mistake::new(node.column, found, "a condition, which is true or false");
                Err(mistake.hint("compare it: `... != 0`"))
            }
            (Type::Boolean | Type::Integer(_), Type::Integer(_)) => Err(Mistake::new(
                node.column,
                format!("a value of type {own}"),
                format!("one of type {wanted}"),
            )),
        }
    }

    /// The value, whose own type is `of`.
    fn build(&self, node: &Node, of: IntegerType) -> Result<Term, Mistake> {
        let condition = |node: &Node| self.term(node, Type::Boolean).map(Box::new);
        let number = |node: &Node| self.term(node, Type::Integer(of)).map(Box::new);
        let constant = |value| Box::new(Term { of, kind: TermKind::Constant(value) });
        let kind = match &node.kind {
            NodeKind::Boolean(value) => TermKind::Constant(i128::from(*value)),
            NodeKind::Integer { value, .. } => {
                let (low, high) = of.limits();
                if !(low..=high).contains(value) {
                    let found = format!("`{value}`, which is no number of type {of}");
                    let mistake = Mistake::new(node.column, found, format!("a number from {low} to {high}"));
                    return Err(
                        mistake.hint("convert what it meets to a type that has it: `int(...)`, `uint(...)`")
                    );
                }
                TermKind::Constant(*value)
            }
            NodeKind::Named(name) => TermKind::Named(*name, self.named(*name, node.column)?),
            NodeKind::Not(inner) => TermKind::Binary(Operation::Xor, condition(inner)?, constant(1)),
            NodeKind::Negative(inner) => {
                if !of.signed {
                    let found = format!("`-` before a value of type {of}");
                    let mistake = Mistake::new(node.column, found, "`-` before integers with a sign");
                    return Err(mistake.hint("convert the value first: `-int(...)`"));
                }
                TermKind::Binary(Operation::Subtract, constant(0), number(inner)?)
            }
            NodeKind::BitNot(inner) => {
                let ones = if of.signed { -1 } else { of.limits().1 };
                TermKind::Binary(Operation::Xor, number(inner)?, constant(ones))
            }
            NodeKind::Convert(_, inner) => TermKind::Convert(Box::new(self.converted(inner, of)?)),
            NodeKind::Choice(parts) => {
                let [first, then, otherwise] = &**parts;
                let branch = |node| match self.guess(node)?.settled() {
                    Type::Boolean => condition(node),
                    Type::Integer(_) => number(node),
                };
                TermKind::Choice(Box::new([*condition(first)?, *branch(then)?, *branch(otherwise)?]))
            }
            NodeKind::Member(value, list) => return self.member(node, value, list),
            NodeKind::Binary(binary, left, right) => return self.binary(node, *binary, [left, right], of),
        };
        Ok(Term { of, kind })
    }

    /// What is converted to `to`, in its own type; a written number is one of `to` from the first.
    fn converted(&self, node: &Node, to: IntegerType) -> Result<Term, Mistake> {
        match self.guess(node)? {
            Guess::Known(Type::Boolean) => {
                let mistake = Mistake::new(node.column, "a value of type bool", "an integer");
                Err(mistake.hint("`condition ? 1 : 0` makes one of it"))
            }
            Guess::Written { unsigned } if !(unsigned && to.signed) => self.term(node, Type::Integer(to)),
            guess @ (Guess::Known(Type::Integer(_)) | Guess::Written { .. }) => {
                self.term(node, guess.settled())
            }
        }
    }

    fn member(&self, node: &Node, value: &Node, list: &[Node]) -> Result<Term, Mistake> {
        let parts: Vec<&Node> = [value].into_iter().chain(list).collect();
        let common = self.common(node, "in", &parts)?.settled();
        let list = list.iter().map(|one| self.term(one, common)).collect::<Result<_, _>>()?;
        Ok(Term::boolean(TermKind::Member(Box::new(self.term(value, common)?), list)))
    }

    fn binary(
        &self,
        node: &Node,
        binary: Binary,
        [left, right]: [&Node; 2],
        of: IntegerType,
    ) -> Result<Term, Mistake> {
        let joined = |operation, wanted, swapped: bool| {
            let left = Box::new(self.term(left, wanted)?);
            let right = Box::new(self.term(right, wanted)?);
            let (left, right) = if swapped { (right, left) } else { (left, right) };
            Ok(TermKind::Binary(operation, left, right))
        };
        let compared = |operation, ordered: bool, swapped| {
            let common = self.common(node, binary.name(), &[left, right])?.settled();
            if ordered && common == Type::Boolean {
                let found = format!("`{}` between conditions", binary.name());
                return Err(Mistake::new(node.column, found, "`==`, `!=`, `&&`, `||` between conditions"));
            }
            joined(operation, common, swapped).map(Term::boolean)
        };
        let arithmetic = |operation| {
            if let Guess::Known(Type::Boolean) = self.guess(left)? {
                let found = format!("`{}` between conditions", binary.name());
                return Err(Mistake::new(node.column, found, "`==`, `!=`, `&&`, `||` between conditions"));
            }
            Ok(Term { of, kind: joined(operation, Type::Integer(of), false)? })
        };
        match binary {
            Binary::Or => joined(Operation::Or, Type::Boolean, false).map(Term::boolean),
            Binary::And => joined(Operation::And, Type::Boolean, false).map(Term::boolean),
            Binary::Equal => compared(Operation::Equal, false, false),
            Binary::Unequal => compared(Operation::Unequal, false, false),
            Binary::Less => compared(Operation::Less, true, false),
            Binary::LessEqual => compared(Operation::LessEqual, true, false),
            Binary::Greater => compared(Operation::Less, true, true),
            Binary::GreaterEqual => compared(Operation::LessEqual, true, true),
            Binary::Add => arithmetic(Operation::Add),
            Binary::Subtract => arithmetic(Operation::Subtract),
            Binary::BitAnd => arithmetic(Operation::And),
            Binary::BitOr => arithmetic(Operation::Or),
            Binary::BitXor => arithmetic(Operation::Xor),
        }
    }
}

/// The type that both can have, without a loss.
fn join(one: Guess, other: Guess) -> Option<Guess> {
    match (one, other) {
        (Guess::Written { unsigned: one }, Guess::Written { unsigned: other }) => {
            Some(Guess::Written { unsigned: one || other })
        }
        (known @ Guess::Known(Type::Integer(_)), Guess::Written { .. })
        | (Guess::Written { .. }, known @ Guess::Known(Type::Integer(_))) => Some(known),
        (Guess::Known(Type::Boolean), Guess::Known(Type::Boolean)) => Some(one),
        (Guess::Known(Type::Integer(left)), Guess::Known(Type::Integer(right))) => {
            let wider = if left.width < right.width { other } else { one };
            (left.signed == right.signed).then_some(wider)
        }
        (Guess::Known(Type::Boolean), _) | (_, Guess::Known(Type::Boolean)) => None,
    }
}

/// What is said of two values that do not meet.
fn clash(node: &Node, name: &str, one: Guess, other: Guess) -> Mistake {
    let (one, other) = (one.settled(), other.settled());
    let found = format!("`{name}` between {one} and {other}");
    if one == Type::Boolean || other == Type::Boolean {
        return Mistake::new(node.column, found, "two conditions, or two integers");
    }
    let mistake = Mistake::new(node.column, found, "two integers with a sign, or two without one");
    mistake.hint("convert one of them, as `int(...)` or `uint(...)`")
}
