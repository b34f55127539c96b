//! Integer tests, from the values of the language to the bits that a program sees.

use super::columns::Test;
use super::refusal::Problem;
use crate::model::NumberTest;

/// An integer of a policy's type, read from a field that may be narrower.
///
/// A program extends the field's value to 64 bits by the field's sign. Where the field is as wide as the kind the two
/// are the same type. Where it is narrower, the kind's value is what C makes of assigning the one to the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Domain {
    /// Width in bytes and sign of the type that the policy names.
    pub(super) kind: (u8, bool),
    /// Width in bytes and sign of what is read.
    pub(super) field: (u8, bool),
}

/// The least and the greatest integer of a type.
fn limits((width, signed): (u8, bool)) -> (i128, i128) {
    let bits = u32::from(width) * 8;
    if signed { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) }
}

impl Domain {
    /// The test on the table's values: bits of the extended field, with the sign bit flipped when the field is signed
    /// so that they sort as the integers do.
    pub(super) fn test(self, test: &NumberTest) -> Result<Test, Problem> {
        match test {
            NumberTest::Equal { values, negated } => {
                Ok(Test::Numbers { values: self.values(values)?, ranges: Vec::new(), negated: *negated })
            }
            NumberTest::Range { ranges, negated } => {
                Ok(Test::Numbers { values: Vec::new(), ranges: self.ranges(ranges)?, negated: *negated })
            }
            NumberTest::Members { values, ranges, negated } => Ok(Test::Numbers {
                values: self.values(values)?,
                ranges: self.ranges(ranges)?,
                negated: *negated,
            }),
            NumberTest::Mask(bits) => {
                // What an unsigned kind does not have, a negative field would show as set.
                let own = if self.kind.1 { u64::MAX } else { u64::MAX >> (64 - 8 * u32::from(self.kind.0)) };
                Ok(Test::Mask { bits: bits & own, negated: false })
            }
        }
    }

    /// The table's values for these integers, sorted.
    fn values(self, values: &[i128]) -> Result<Vec<u64>, Problem> {
        let mut wanted = Vec::with_capacity(values.len());
        for value in values {
            let value = self.representable(*value)?;
            wanted.extend(self.preimage(value, value).map(|(low, _)| low));
        }
        wanted.sort_unstable();
        wanted.dedup();
        Ok(wanted)
    }

    /// The table's ranges for these ranges of integers, as [`merged`] leaves them.
    fn ranges(self, ranges: &[(i128, i128)]) -> Result<Vec<(u64, u64)>, Problem> {
        let mut wanted = Vec::with_capacity(ranges.len());
        for (low, high) in ranges {
            let (least, greatest) = limits(self.kind);
            self.check_end(*low)?;
            self.check_end(*high)?;
            let (low, high) = ((*low).max(least), (*high).min(greatest));
            if low <= high {
                wanted.extend(self.preimage(low, high));
            }
        }
        Ok(merged(wanted))
    }

    /// `value` as an integer of the kind; written as its two's complement bits, it may look like one of the other sign.
    fn representable(self, value: i128) -> Result<i128, Problem> {
        let (least, greatest) = limits(self.kind);
        let modulus = 1_i128 << (u32::from(self.kind.0) * 8);
        if (least..=greatest).contains(&value) {
            Ok(value)
        } else if self.kind.1 && (0..modulus).contains(&value) {
            Ok(value - modulus)
        } else if !self.kind.1 && (-modulus / 2..0).contains(&value) {
            Ok(value + modulus)
        } else {
            Err(self.out_of_range(value))
        }
    }

    /// The end of a range may be open, or stand just outside of the type: `GreaterThan` its greatest value is legal.
    fn check_end(self, end: i128) -> Result<(), Problem> {
        let (least, greatest) = limits(self.kind);
        let open = end == i128::MIN || end == i128::MAX;
        if open || (least - 1..=greatest + 1).contains(&end) { Ok(()) } else { Err(self.out_of_range(end)) }
    }

    fn out_of_range(self, value: i128) -> Problem {
        let (least, greatest) = limits(self.kind);
        Problem::new(format!("{value}"), format!("{least} to {greatest}"))
    }

    /// The table's values whose kind value lies in a range of the kind's integers: no, one or two ranges.
    fn preimage(self, low: i128, high: i128) -> impl Iterator<Item = (u64, u64)> {
        let (least, greatest) = limits(self.field);
        // A negative field is a great number of an unsigned kind.
        let wraps = self.field.1 && !self.kind.1;
        let modulus = 1_i128 << (u32::from(self.kind.0) * 8);
        let least_itself = if wraps { 0 } else { least };
        let itself = (low.max(least_itself), high.min(greatest));
        let wrapped = ((low - modulus).max(least), (high - modulus).min(-1));
        let signed = self.field.1;
        [(true, itself), (wraps, wrapped)]
            .into_iter()
            .filter(|(exists, (low, high))| *exists && low <= high)
            .map(move |(_, (low, high))| (flipped(low, signed), flipped(high, signed)))
    }
}

/// The bits of an integer as tables hold them.
fn flipped(value: i128, signed: bool) -> u64 {
    // Two's complement of 64 bits: what is cut off is copies of the sign.
    let bits = value.cast_unsigned() as u64;
    if signed { bits ^ 1 << 63 } else { bits }
}

/// The same numbers in ranges that neither overlap nor touch, in order.
pub(super) fn merged(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for (low, high) in ranges {
        match merged.last_mut() {
            Some((_, last)) if low <= last.saturating_add(1) => *last = (*last).max(high),
            Some(_) | None => merged.push((low, high)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGN: u64 = 1 << 63;

    fn equal(domain: Domain, value: i128) -> Vec<u64> {
        match domain.test(&NumberTest::Equal { values: vec![value], negated: false }) {
            Ok(Test::Numbers { values, .. }) => values,
            other => panic!("{other:?}"),
        }
    }

    fn ranges(ranges: Vec<(u64, u64)>) -> Test {
        Test::Numbers { values: Vec::new(), ranges, negated: false }
    }

    #[test]
    fn signed_values_sort_as_integers() {
        let int = Domain { kind: (4, true), field: (4, true) };
        assert_eq!(equal(int, -1), [SIGN - 1]);
        assert_eq!(equal(int, 0), [SIGN]);
        assert_eq!(equal(int, 0xffff_ffff), [SIGN - 1], "-1, written as its bits");
        assert_eq!(equal(int, i128::from(i32::MIN)), [SIGN - (1 << 31)]);
    }

    #[test]
    fn a_wider_kind_sees_what_c_assigns() {
        let wide = Domain { kind: (8, false), field: (4, true) };
        assert_eq!(equal(wide, i128::from(u64::MAX)), [SIGN - 1], "(uint64_t)-1");
        assert!(equal(wide, 0xffff_ffff).is_empty(), "no int is that as uint64_t");
        let short = Domain { kind: (4, false), field: (2, true) };
        assert_eq!(equal(short, 0xffff_ffff), [SIGN - 1]);
    }

    #[test]
    fn a_range_over_wrapped_values_has_two_parts() {
        let wide = Domain { kind: (8, false), field: (4, true) };
        let test = NumberTest::Range { ranges: vec![(i128::MIN, i128::MAX)], negated: false };
        let range = (SIGN - (1 << 31), SIGN + (1 << 31) - 1);
        assert_eq!(wide.test(&test), Ok(ranges(vec![range])));
        let test = NumberTest::Range { ranges: vec![(7, i128::from(u64::MAX) - 1)], negated: false };
        let parts = vec![(SIGN - (1 << 31), SIGN - 2), (SIGN + 7, SIGN + (1 << 31) - 1)];
        assert_eq!(wide.test(&test), Ok(ranges(parts)));
    }

    #[test]
    fn members_are_values_and_ranges() {
        let byte = Domain { kind: (1, true), field: (1, true) };
        let test = NumberTest::Members { values: vec![3, -1], ranges: vec![(5, 9)], negated: true };
        let expected = Test::Numbers {
            values: vec![SIGN - 1, SIGN + 3],
            ranges: vec![(SIGN + 5, SIGN + 9)],
            negated: true,
        };
        assert_eq!(byte.test(&test), Ok(expected));
    }

    #[test]
    fn what_the_type_cannot_hold_is_refused() {
        let byte = Domain { kind: (1, false), field: (1, false) };
        let test = NumberTest::Equal { values: vec![300], negated: false };
        assert_eq!(byte.test(&test), Err(Problem::new("300", "0 to 255")));
        let test = NumberTest::Range { ranges: vec![(10, 1000)], negated: true };
        assert_eq!(byte.test(&test), Err(Problem::new("1000", "0 to 255")));
    }

    #[test]
    fn touching_ranges_are_one() {
        let byte = Domain { kind: (1, false), field: (1, false) };
        let test = NumberTest::Range { ranges: vec![(5, 9), (10, 20), (0, 3)], negated: false };
        assert_eq!(byte.test(&test), Ok(ranges(vec![(0, 3), (5, 20)])));
    }
}
