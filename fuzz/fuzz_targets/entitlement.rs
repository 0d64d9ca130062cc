//! Any bytes taken for a certificate of a subscription, or for its list of content, are refused with a message or read; what
//! is read has texts without end only where they were there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tib::subscription::{ContentSet, entitlement, products};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(found) = entitlement(bytes) {
        assert_eq!(entitlement(bytes).ok(), Some(found));
    }
    for product in products(bytes).unwrap_or_default() {
        assert!(product.tags.iter().all(|tag| !tag.is_empty() && !tag.contains(',')));
    }
    if let Ok(set) = serde_json::from_slice::<ContentSet>(bytes) {
        assert!(set.label.len() + set.name.len() <= bytes.len());
    }
});
