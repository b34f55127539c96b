//! The kernel half of the node worker: the wire contract and, with the feature `objects`, the compiled BPF programs.
//!
//! Without `objects` the crate is the contract alone: plain data, no clang needed to build it.

#[allow(
    unsafe_code,
    non_camel_case_types,
    non_snake_case,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated from abi/include/wire.h, which documents each item"
)]
mod bindings;
#[cfg(feature = "objects")]
pub mod objects;

pub use bindings::*;

/// A struct of the wire contract: plain data without padding, valid for every bit pattern.
///
/// # Safety
/// Implementors are `repr(C)`, hold integers only and have no implicit padding.
#[allow(unsafe_code, reason = "the promise that byte access below relies on")]
pub unsafe trait Wire: Copy + Default {}

macro_rules! wire {
    ($($name:ident),* $(,)?) => {
        $(
            // SAFETY: generated from wire.h, where every struct is padded explicitly (`-Wpadded` is an error there).
            #[allow(unsafe_code, reason = "checked by -Wpadded when the BPF programs are compiled")]
            unsafe impl Wire for $name {}
        )*
    };
}

wire!(
    lictor_live,
    lictor_revision,
    lictor_vector,
    lictor_column,
    lictor_hook,
    lictor_rule,
    lictor_lpm_key,
    lictor_lpm_value,
    lictor_number_key,
    lictor_field_shape,
    lictor_column_shape,
    lictor_shape,
    lictor_policy_counts,
    lictor_hook_counts,
    lictor_record,
    lictor_exec_record,
    lictor_exit_record,
    lictor_fork_record,
    lictor_fired,
    lictor_hook_record,
    lictor_hash_record,
    lictor_field,
    lictor_file,
    lictor_endpoints,
    lictor_user_namespace,
    lictor_credentials,
    lictor_module,
    lictor_assignment,
    lictor_bpf_attr,
    lictor_bpf_map,
    lictor_data,
    lictor_data_record,
    lictor_perf_event,
    lictor_unix_address,
    lictor_image,
    lictor_cgroup,
    lictor_cgroup_record,
    lictor_pod_uid,
    lictor_scope_key,
    lictor_scope,
);

/// The bytes of `value`, as the kernel sees them.
#[allow(unsafe_code, reason = "viewing plain data as bytes")]
pub fn bytes_of<T: Wire>(value: &T) -> &[u8] {
    // SAFETY: `Wire` promises plain data without padding; the slice lives as long as the borrow.
    unsafe { core::slice::from_raw_parts(core::ptr::from_ref(value).cast::<u8>(), size_of::<T>()) }
}

/// The value at the beginning of `bytes`; `None` when they are too few. Alignment does not matter.
#[allow(unsafe_code, reason = "reading plain data from bytes")]
pub fn read<T: Wire>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: long enough (checked), any bit pattern is valid (`Wire`), and the read is unaligned.
    Some(unsafe { core::ptr::read_unaligned(bytes.as_ptr().cast::<T>()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_way_through_bytes() {
        let record = lictor_fork_record { parent_tgid: 7, parent_start_boot_ns: 9, ..Default::default() };
        assert_eq!(read::<lictor_fork_record>(bytes_of(&record)), Some(record));
    }

    #[test]
    fn short_input_is_refused() {
        let record = lictor_exit_record::default();
        let bytes = bytes_of(&record);
        assert_eq!(read::<lictor_exit_record>(&bytes[..bytes.len() - 1]), None);
    }
}
