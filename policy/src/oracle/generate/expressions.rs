//! Made-up expressions over integers.

use super::{Maker, Place, Random};
use crate::expression::{Expression, Name};
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
        let mut integers: Vec<(Name, (u8, bool))> = (0..)
            .zip(args)
            .filter_map(|(number, arg)| Some((Name::Arg(number), integer(arg, place.class(arg))?)))
            .collect();
        let mut operands: BTreeMap<Name, Operand> =
            (0..).zip(args).map(|(number, _)| (Name::Arg(number), Operand::Arg(number as usize))).collect();
        if let Some((arg, class)) = return_arg.zip(place.returns.as_ref())
            && let Some(kind) = integer(arg, class)
            && self.random.chance(50)
        {
            integers.push((Name::Arg(99), kind));
            operands.insert(Name::Arg(99), Operand::Return);
        }
        if integers.is_empty() {
            return None;
        }
        let text = text(&mut self.random, &integers);
        let expression = Expression::parse(&text).ok()?;
        let named = expression.names();
        operands.retain(|name, _| named.iter().any(|(one, _)| one == name));
        let (at, at_text) = (at.clone(), at.clone());
        Some(Predicate::Expression(ExpressionTest { at, at_text, expression, values: operands }))
    }
}

/// An expression over values of these types (name, bytes and sign), of which there is at least one.
fn text(random: &mut Random, values: &[(Name, (u8, bool))]) -> String {
    let parts = 1 + random.below(3);
    let parts: Vec<String> = (0..parts).map(|_| comparison(random, values)).collect();
    let join = random.pick(&[" && ", " || "]);
    let joined = parts.join(join);
    if random.chance(20) { format!("!({joined})") } else { joined }
}

fn comparison(random: &mut Random, values: &[(Name, (u8, bool))]) -> String {
    let (name, (width, signed)) = random.pick(values);
    let left = match random.below(5) {
        0 => format!("{name} + 1"),
        1 => format!("and({name}, {})", random.pick(&["1", "6", "0x70"])),
        _ => name.to_string(),
    };
    // Another value of that sign, or what fits into the least type.
    let others: Vec<Name> = (values.iter())
        .filter(|(other, (_, sign))| *other != name && *sign == signed)
        .map(|(other, _)| *other)
        .collect();
    let right = if !others.is_empty() && random.chance(50) {
        random.pick(&others).to_string()
    } else if random.chance(15) {
        // Whatever there is, as something without a sign.
        let limit = if width == 8 { "0x8000000000000000u" } else { "0x80000000u" };
        let conversion = if width == 8 { "uint" } else { "uint32" };
        return format!("{conversion}({left}) >= {limit}");
    } else {
        let value = random.pick(&[0, 1, 2, 3, 127, 128, 255, 256]);
        if signed && random.chance(40) { format!("-{value}") } else { value.to_string() }
    };
    if random.chance(15) {
        return format!("{left} in [{right}, 3, 127]");
    }
    format!("{left} {} {right}", random.pick(&["==", "!=", "<", "<=", ">", ">="]))
}
