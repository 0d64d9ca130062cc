//! Ports of this host.

use std::net::{Ipv4Addr, TcpListener};

use super::BootError;

/// Ports of the loopback interface that nobody has at this moment.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N], BootError> {
    // All are held until all are known, so that they differ.
    let mut listeners = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(BootError::prepare)?;
        *port = listener.local_addr().map_err(BootError::prepare)?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn they_differ_and_can_be_had() {
        let ports: [u16; 8] = free_ports().unwrap();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 8);
        assert!(ports.iter().all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()));
    }
}
