//! Looking into images, virt-ls style: packages, units, users, checks, the sealing gate, reports.
