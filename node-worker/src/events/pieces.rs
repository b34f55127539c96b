//! Values that are too long for a hook record, put together again from data records.

use super::decode::{DataRecord, Field, FieldStatus, FieldValue, HookRecord};
use std::collections::VecDeque;

/// Bytes that wait for their hook record, at most: four times what the ring holds. A value whose hook record was lost
/// would wait for ever; the oldest go first.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// Which value a piece is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    id: u64,
    field: u32,
}

/// The pieces whose hook records are still to come.
#[derive(Debug, Default)]
pub struct Pieces {
    waiting: VecDeque<(Key, Vec<u8>)>,
    bytes: usize,
}

impl Pieces {
    /// Adds a piece behind those of the same value.
    pub fn add(&mut self, record: &DataRecord<'_>) {
        let key = Key { id: record.fixed.id, field: record.fixed.field };
        self.bytes += record.bytes.len();
        // Mostly the newest.
        match self.waiting.iter_mut().rev().find(|(known, _)| *known == key) {
            Some((_, value)) => value.extend_from_slice(record.bytes),
            None => self.waiting.push_back((key, record.bytes.to_vec())),
        }
        while self.bytes > WAITING_BYTES_MAX
            && let Some((_, value)) = self.waiting.pop_front()
        {
            self.bytes -= value.len();
        }
    }

    /// Takes the values that `record` has elsewhere; `None` = it has none.
    pub fn take(&mut self, record: &HookRecord<'_>) -> Option<Joined> {
        let fields = record.fields().iter().zip(0..);
        let elsewhere = fields.filter_map(|(field, number)| {
            let FieldValue::Elsewhere(data) = field.value else { return None };
            Some((number, Key { id: data.id, field: number }))
        });
        let values: Vec<(u32, Vec<u8>)> = elsewhere.map(|(number, key)| (number, self.remove(key))).collect();
        (!values.is_empty()).then_some(Joined(values))
    }

    /// What came of a value.
    fn remove(&mut self, key: Key) -> Vec<u8> {
        let place = self.waiting.iter().position(|(known, _)| *known == key);
        let value =
            place.and_then(|place| self.waiting.remove(place)).map_or_else(Vec::new, |(_, value)| value);
        self.bytes -= value.len();
        value
    }
}

/// Values of one hook record, by the number of the field.
#[derive(Debug)]
pub struct Joined(Vec<(u32, Vec<u8>)>);

impl Joined {
    /// Puts them where they belong. What is shorter than the value was is the value's beginning.
    pub fn put<'a>(&'a self, record: &mut HookRecord<'a>) {
        for (number, value) in &self.0 {
            let index = *number as usize;
            let Some(original_length) = record.fields().get(index).map(|field| field.original_length) else {
                continue;
            };
            let whole = value.len() == original_length as usize;
            let status = if whole { FieldStatus::Read } else { FieldStatus::Truncated };
            record.set_field(index, Field { status, original_length, value: FieldValue::Bytes(value) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::decode::{Record, decode};
    use crate::events::testing::{self, Hook, Task};

    const SHELL: Task = Task { pid: 7, start_boot_ns: 70, exec_id: 2 };

    fn add(pieces: &mut Pieces, id: u64, field: u32, bytes: &[u8]) {
        let record = testing::data(SHELL, id, field, bytes);
        let Ok(Record::Data(record)) = decode(&record) else { panic!("not a data record") };
        pieces.add(&record);
    }

    /// The values of a hook record with two long values, and how they are.
    fn joined(pieces: &mut Pieces, ids: [u64; 2], lengths: [u32; 2]) -> Vec<(FieldStatus, Vec<u8>)> {
        let hook = Hook::new(SHELL, 99, 3, 5, 11).elsewhere(ids[0], lengths[0]).number(42);
        let bytes = hook.elsewhere(ids[1], lengths[1]).bytes();
        let Ok(Record::Hook(mut record)) = decode(&bytes) else { panic!("not a hook record") };
        let joined = pieces.take(&record).unwrap();
        joined.put(&mut record);
        assert_eq!(record.fields()[1].value, FieldValue::Number(42));
        [0, 2]
            .map(|index| {
                let field = record.fields()[index];
                let FieldValue::Bytes(value) = field.value else { panic!("{field:?}") };
                (field.status, value.to_vec())
            })
            .to_vec()
    }

    #[test]
    fn pieces_that_mingle_are_told_apart() {
        let mut pieces = Pieces::default();
        for (id, field, bytes) in
            [(1, 0, "one "), (2, 0, "another "), (1, 0, "value"), (1, 2, "third"), (2, 0, "value")]
        {
            add(&mut pieces, id, field, bytes.as_bytes());
        }
        let found = joined(&mut pieces, [1, 1], [9, 5]);
        assert_eq!(found, [(FieldStatus::Read, b"one value".into()), (FieldStatus::Read, b"third".into())]);
        let found = joined(&mut pieces, [2, 9], [13, 7]);
        assert_eq!(
            found,
            [(FieldStatus::Read, b"another value".into()), (FieldStatus::Truncated, Vec::new())]
        );
        assert_eq!((pieces.waiting.len(), pieces.bytes), (0, 0));
    }

    #[test]
    fn a_value_with_a_piece_missing_is_its_beginning() {
        let mut pieces = Pieces::default();
        add(&mut pieces, 1, 0, b"begin");
        let found = joined(&mut pieces, [1, 2], [11, 1]);
        assert_eq!(found[0], (FieldStatus::Truncated, b"begin".into()));
    }

    #[test]
    fn what_nobody_asks_for_goes() {
        let mut pieces = Pieces::default();
        let piece = vec![7; 8000];
        for id in 0..3000 {
            add(&mut pieces, id, 0, &piece);
        }
        assert!(pieces.bytes <= WAITING_BYTES_MAX && pieces.waiting.len() > 1000);
        assert_eq!(joined(&mut pieces, [0, 2999], [8000, 8000])[0].0, FieldStatus::Truncated);
    }
}
