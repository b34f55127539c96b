//! Types of maps whose values belong to a task: the kernel creates such a map only when it is told what key and value are.

use super::sys::MapSpec;

/// `BPF_MAP_TYPE_TASK_STORAGE`
pub(super) const TASK_STORAGE: u32 = 29;

/// Numbers of the types in [`types`]: an integer of 4 bytes, which stands for the key, and an array of them, the value.
pub(super) const KEY_TYPE: u32 = 1;
pub(super) const VALUE_TYPE: u32 = 2;

/// The types in the kernel's format (`include/uapi/linux/btf.h`). `None` = the value is not made of whole integers.
pub(super) fn types(spec: &MapSpec) -> Option<Vec<u8>> {
    const MAGIC: u32 = 0xeb9f;
    const VERSION: u32 = 1;
    const HEADER_BYTES: u32 = 24;
    const KIND_INT: u32 = 1 << 24;
    const KIND_ARRAY: u32 = 3 << 24;
    /// Each name is told by where it begins among these.
    const NAMES: &[u8; 8] = b"\0number\0";
    const INT_BYTES: u32 = 4;
    if spec.key_size != INT_BYTES || !spec.value_size.is_multiple_of(INT_BYTES) {
        return None;
    }
    let integer = [1, KIND_INT, INT_BYTES, 8 * INT_BYTES];
    let array = [0, KIND_ARRAY, 0, KEY_TYPE, KEY_TYPE, spec.value_size / INT_BYTES];
    let type_bytes = (size_of_val(&integer) + size_of_val(&array)) as u32;
    let header = [MAGIC | VERSION << 16, HEADER_BYTES, 0, type_bytes, type_bytes, NAMES.len() as u32];
    let words = header.iter().chain(&integer).chain(&array).flat_map(|word| word.to_ne_bytes());
    Some(words.chain(NAMES.iter().copied()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_policy::btf::Btf;

    #[test]
    fn the_types_can_be_read() {
        let spec = MapSpec { map_type: TASK_STORAGE, key_size: 4, value_size: 64, max_entries: 0, flags: 1 };
        let bytes = types(&spec).unwrap();
        Btf::parse(&bytes).unwrap();
        let words: Vec<u32> = bytes.as_chunks().0.iter().map(|word| u32::from_ne_bytes(*word)).collect();
        // The array, behind a header of six words and an integer of four.
        assert_eq!(words[10..16], [0, 3 << 24, 0, KEY_TYPE, KEY_TYPE, 16]);
        assert!(types(&MapSpec { value_size: 6, ..spec }).is_none());
    }
}
