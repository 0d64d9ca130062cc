//! What the tests of subscriptions share: a server of them.

use crate::fetch::testing::http;

#[path = "../../tests/common/candlepin.rs"]
pub(crate) mod candlepin;
