//! Made-up expressions over integers.

use super::{Maker, Place, Random};
use crate::expression::Expression;
use crate::model::{Arg, ArgKind, ExpressionTest, FieldPath, Operand, Predicate};
use crate::plan::{TypeClass, automatic_kind};
use std::collections::BTreeMap;

impl Maker {
    /// An expression over those arguments that are integers, and now and then over what the function returned.
    pub(super) fn expression(
        &mut self,
        place: &Place,
        args: &[Arg],
        return_arg: Option<&Arg>,
        at: &FieldPath,
    ) -> Option<Predicate> {
        let integer = |arg: &Arg, class: &TypeClass| {
            let kind = if arg.kind == ArgKind::Auto { automatic_kind(class) } else { Some(arg.kind) };
            kind.and_then(ArgKind::integer)
        };
        let mut integers: Vec<(u32, (u8, bool))> = (0..)
            .zip(args)
            .filter_map(|(number, arg)| Some((number, integer(arg, place.class(arg))?)))
            .collect();
        let mut operands: BTreeMap<u32, Operand> =
            integers.iter().map(|(number, _)| (*number, Operand::Arg(*number as usize))).collect();
        if let Some((arg, class)) = return_arg.zip(place.returns.as_ref())
            && let Some(kind) = integer(arg, class)
            && self.random.chance(50)
        {
            integers.push((99, kind));
            operands.insert(99, Operand::Return);
        }
        if integers.is_empty() {
            return None;
        }
        let text = text(&mut self.random, &integers);
        let expression = Expression::parse(&text).ok()?;
        let named = expression.arguments();
        operands.retain(|number, _| named.iter().any(|(one, _)| one == number));
        Some(Predicate::Expression(ExpressionTest { at: at.clone(), expression, arguments: operands }))
    }
}

/// An expression over arguments of these types (the number behind `arg`, bytes and sign), of which there is at least one.
fn text(random: &mut Random, arguments: &[(u32, (u8, bool))]) -> String {
    let parts = 1 + random.below(3);
    let parts: Vec<String> = (0..parts).map(|_| comparison(random, arguments)).collect();
    let join = random.pick(&[" && ", " || "]);
    let joined = parts.join(join);
    if random.chance(20) { format!("!({joined})") } else { joined }
}

fn comparison(random: &mut Random, arguments: &[(u32, (u8, bool))]) -> String {
    let (number, (width, signed)) = random.pick(arguments);
    let left = match random.below(5) {
        0 => format!("arg{number} + 1"),
        1 => format!("and(arg{number}, {})", random.pick(&["1", "6", "0x70"])),
        _ => format!("arg{number}"),
    };
    // Another argument of that sign, or what fits into the least type.
    let others: Vec<u32> = (arguments.iter())
        .filter(|(other, (_, sign))| *other != number && *sign == signed)
        .map(|(other, _)| *other)
        .collect();
    let right = if !others.is_empty() && random.chance(50) {
        format!("arg{}", random.pick(&others))
    } else if random.chance(15) {
        // Whatever there is, as something without a sign.
        let limit = if width == 8 { "0x8000000000000000u" } else { "0x80000000u" };
        let name = if width == 8 { "uint" } else { "uint32" };
        return format!("{name}({left}) >= {limit}");
    } else {
        let value = random.pick(&[0, 1, 2, 3, 127, 128, 255, 256]);
        if signed && random.chance(40) { format!("-{value}") } else { value.to_string() }
    };
    if random.chance(15) {
        return format!("{left} in [{right}, 3, 127]");
    }
    format!("{left} {} {right}", random.pick(&["==", "!=", "<", "<=", ">", ">="]))
}
