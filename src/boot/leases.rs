//! A second network that offers nothing but DHCP, with leases that end after two minutes: whether a guest keeps an address for
//! longer than a lease shows in minutes there, and not after a day. QEMU's own network has neither such leases nor routes.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::socket::udp;
use smoltcp::wire::{
    DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress,
    IpAddress, IpCidr, Ipv4Address,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// The card's address.
pub(crate) const MAC: &str = "fa:16:3e:74:69:63";
/// How long a lease lasts. The guest is to renew it after half of that.
pub(crate) const LEASE: Duration = Duration::from_secs(120);
/// Our own address, and the guest's.
const SERVER: Ipv4Address = Ipv4Address::new(192, 168, 233, 1);
pub(crate) const CLIENT: Ipv4Address = Ipv4Address::new(192, 168, 233, 10);
/// A network that is reached by way of us.
pub(crate) const ROUTE: Ipv4Address = Ipv4Address::new(198, 51, 100, 0);
const ROUTE_PREFIX: u8 = 24;
const CLASSLESS_STATIC_ROUTE: u8 = 121;
const SERVER_MAC: EthernetAddress = EthernetAddress([0xfa, 0x16, 0x3e, 0x74, 0x69, 0x01]);
/// The largest frame taken.
const LONGEST: usize = 16 << 10;
/// Clients that are told apart.
const CLIENTS: usize = 16;

/// What has been asked of the server, and granted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LeaseState {
    /// Messages of clients.
    pub(crate) asked: u32,
    /// When an address was first granted.
    pub(crate) granted: Option<Instant>,
    /// How often a client that had it asked for it to be kept.
    pub(crate) renewed: u32,
    /// Clients, by the identifiers they send.
    pub(crate) clients: BTreeSet<Vec<u8>>,
}

impl LeaseState {
    /// Whether the first lease is over, had nobody renewed it.
    pub(crate) fn is_over(&self) -> bool {
        self.granted.is_some_and(|granted| granted.elapsed() > LEASE + Duration::from_secs(5))
    }
}

/// The state, shared with who shows it.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedLeases(Arc<Mutex<LeaseState>>);

impl SharedLeases {
    pub(crate) fn get(&self) -> LeaseState {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, state: LeaseState) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// Answers QEMU, which connects once, until it ends.
pub(crate) async fn serve(listener: UnixListener, seen: SharedLeases) {
    while let Ok((stream, _)) = listener.accept().await {
        // The other end is gone, or says what is no frame: it may connect again.
        let _ = answer(stream, &seen).await;
    }
}

/// Frames come and go with their length in front of them, as QEMU's `-netdev stream` has it.
async fn answer(mut stream: UnixStream, seen: &SharedLeases) -> std::io::Result<()> {
    let mut server = Server::new();
    loop {
        let length = stream.read_u32().await? as usize;
        if length > LONGEST {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        let mut frame = vec![0; length];
        stream.read_exact(&mut frame).await?;
        for reply in server.take(frame) {
            #[expect(clippy::cast_possible_truncation, reason = "a frame of ours is short")]
            stream.write_u32(reply.len() as u32).await?;
            stream.write_all(&reply).await?;
        }
        seen.set(server.state.clone());
    }
}

/// The server, and all that a network needs besides: ARP.
struct Server {
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    wire: Wire,
    started: Instant,
    state: LeaseState,
}

impl Server {
    fn new() -> Self {
        let mut wire = Wire::default();
        let now = smoltcp::time::Instant::ZERO;
        let mut interface = Interface::new(Config::new(SERVER_MAC.into()), &mut wire, now);
        interface.update_ip_addrs(|addresses| {
            // There is room for one.
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(SERVER), ROUTE_PREFIX));
        });
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 8], vec![0; 4 * LONGEST]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        // Only a socket that is bound already would refuse.
        let _ = socket.bind(DHCP_SERVER_PORT);
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(socket);
        Self { interface, sockets, socket, wire, started: Instant::now(), state: LeaseState::default() }
    }

    /// Takes a frame, and returns those that answer it.
    fn take(&mut self, frame: Vec<u8>) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.wire.received.push_back(frame);
        self.poll();
        let mut asked = Vec::new();
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(self.socket);
        while let Ok((message, _)) = socket.recv() {
            asked.push(message.to_vec());
        }
        for message in asked {
            self.hear(&message);
        }
        self.poll();
        self.wire.sent.drain(..)
    }

    fn poll(&mut self) {
        let now = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        let now = smoltcp::time::Instant::from_millis(now);
        self.interface.poll(now, &mut self.wire, &mut self.sockets);
    }

    /// Takes a message of a client.
    fn hear(&mut self, message: &[u8]) {
        let Ok(packet) = DhcpPacket::new_checked(message) else { return };
        let identifier = packet.options().find(|option| option.kind == 61).map(|option| option.data.to_vec());
        // An identifier may be of any kind; the parser below knows one.
        let mut told = message.to_vec();
        hide_identifier(&mut told);
        let Ok(packet) = DhcpPacket::new_checked(&told[..]) else { return };
        let Ok(asked) = DhcpRepr::parse(&packet) else { return };
        self.state.asked = self.state.asked.saturating_add(1);
        if self.state.clients.len() < CLIENTS {
            self.state.clients.insert(identifier.unwrap_or_default());
        }
        let renews = !asked.client_ip.is_unspecified();
        let kind = match asked.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request if renews && asked.client_ip == CLIENT => {
                self.state.renewed = self.state.renewed.saturating_add(1);
                DhcpMessageType::Ack
            }
            DhcpMessageType::Request if asked.requested_ip == Some(CLIENT) => {
                self.state.granted.get_or_insert_with(Instant::now);
                DhcpMessageType::Ack
            }
            DhcpMessageType::Request => DhcpMessageType::Nak,
            _ => return,
        };
        self.reply(kind, &asked, renews);
    }

    fn reply(&mut self, kind: DhcpMessageType, asked: &DhcpRepr<'_>, renews: bool) {
        let refused = kind == DhcpMessageType::Nak;
        // Prefix length, as many bytes of the network as it needs, and the router.
        let route = [&[ROUTE_PREFIX][..], &ROUTE.octets()[..3], &SERVER.octets()].concat();
        let routes = [DhcpOption { kind: CLASSLESS_STATIC_ROUTE, data: &route }];
        #[expect(clippy::cast_possible_truncation, reason = "two minutes")]
        let seconds = LEASE.as_secs() as u32;
        let reply = DhcpRepr {
            message_type: kind,
            transaction_id: asked.transaction_id,
            secs: 0,
            client_hardware_address: asked.client_hardware_address,
            client_ip: if renews { asked.client_ip } else { Ipv4Address::UNSPECIFIED },
            your_ip: if refused { Ipv4Address::UNSPECIFIED } else { CLIENT },
            server_ip: SERVER,
            router: None,
            subnet_mask: (!refused).then_some(Ipv4Address::new(255, 255, 255, 0)),
            relay_agent_ip: Ipv4Address::UNSPECIFIED,
            broadcast: asked.broadcast,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(SERVER),
            parameter_request_list: None,
            dns_servers: None,
            max_size: None,
            lease_duration: (!refused).then_some(seconds),
            renew_duration: (!refused).then_some(seconds / 2),
            rebind_duration: (!refused).then_some(seconds / 8 * 7),
            additional_options: if refused { &[] } else { &routes },
        };
        let mut message = vec![0; reply.buffer_len()];
        if reply.emit(&mut DhcpPacket::new_unchecked(&mut message)).is_err() {
            return;
        }
        // Who has no address yet hears what is sent to all.
        let to = if renews { asked.client_ip } else { Ipv4Address::BROADCAST };
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(self.socket);
        // A full buffer loses it, as networks do: the client asks again.
        let _ = socket.send_slice(&message, (IpAddress::Ipv4(to), DHCP_CLIENT_PORT));
    }
}

/// Makes the client's identifier an option that nobody reads.
fn hide_identifier(message: &mut [u8]) {
    const OPTIONS: usize = 240;
    let mut at = OPTIONS;
    while let Some(&kind) = message.get(at) {
        match kind {
            0 => at += 1,
            255 => return,
            _ => {
                if kind == 61 {
                    message[at] = 254;
                }
                at += 2 + message.get(at + 1).map_or(0, |&length| usize::from(length));
            }
        }
    }
}

/// The wire between the guest's card and the server.
#[derive(Default)]
struct Wire {
    received: VecDeque<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
}

impl Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = ToSend<'a>;

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        // Cards of virtual machines leave them to hardware that is not there.
        capabilities.checksum.ipv4 = phy::Checksum::Tx;
        capabilities.checksum.udp = phy::Checksum::Tx;
        capabilities
    }

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Received, ToSend<'_>)> {
        let frame = self.received.pop_front()?;
        Some((Received(frame), ToSend(&mut self.sent)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<ToSend<'_>> {
        Some(ToSend(&mut self.sent))
    }
}

struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

struct ToSend<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut frame = vec![0; length];
        let result = fill(&mut frame);
        self.0.push_back(frame);
        result
    }
}

/// For the fuzz target: any frames.
#[cfg(any(fuzzing, debug_assertions))]
#[doc(hidden)]
pub fn fuzz_frames(bytes: &[u8]) {
    let mut server = Server::new();
    for frame in bytes.chunks(350) {
        let replies: usize = server.take(frame.to_vec()).map(|reply| reply.len()).sum();
        assert!(replies <= LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use smoltcp::socket::dhcpv4;

    use super::*;

    /// A client on the same wire, with a clock of its own.
    struct Client {
        interface: Interface,
        sockets: SocketSet<'static>,
        socket: SocketHandle,
        wire: Wire,
    }

    impl Client {
        fn new() -> Self {
            let mut wire = Wire::default();
            let mac = EthernetAddress([2, 0, 0, 0, 0, 9]);
            let interface = Interface::new(Config::new(mac.into()), &mut wire, smoltcp::time::Instant::ZERO);
            let mut sockets = SocketSet::new(Vec::new());
            let socket = sockets.add(dhcpv4::Socket::new());
            Self { interface, sockets, socket, wire }
        }

        /// Lets both talk at a time in seconds. Returns the address that the client takes.
        fn talk(&mut self, server: &mut Server, seconds: i64) -> Option<Ipv4Address> {
            let mut address = None;
            for _ in 0..10 {
                let now = smoltcp::time::Instant::from_secs(seconds);
                self.interface.poll(now, &mut self.wire, &mut self.sockets);
                for frame in self.wire.sent.drain(..).collect::<Vec<_>>() {
                    self.wire.received.extend(server.take(frame));
                }
                match self.sockets.get_mut::<dhcpv4::Socket<'_>>(self.socket).poll() {
                    Some(dhcpv4::Event::Configured(config)) => {
                        address = Some(config.address.address());
                        self.interface.update_ip_addrs(|addresses| {
                            addresses.clear();
                            addresses.push(IpCidr::Ipv4(config.address)).unwrap();
                        });
                    }
                    Some(dhcpv4::Event::Deconfigured) | None => {}
                }
            }
            address
        }
    }

    #[test]
    fn a_client_gets_a_lease_and_renews_it() {
        let (mut server, mut client) = (Server::new(), Client::new());
        assert_eq!(client.talk(&mut server, 0), Some(CLIENT));
        assert!(server.state.granted.is_some() && server.state.renewed == 0);
        assert!(!server.state.is_over());
        client.talk(&mut server, 30);
        assert_eq!(server.state.renewed, 0, "it is too early");
        client.talk(&mut server, 61);
        assert_eq!(server.state.renewed, 1);
        assert_eq!(server.state.clients.len(), 1);
    }

    #[test]
    fn the_route_is_in_the_form_of_rfc_3442() {
        let mut server = Server::new();
        let mut client = Client::new();
        client.interface.poll(smoltcp::time::Instant::ZERO, &mut client.wire, &mut client.sockets);
        let discover = client.wire.sent.pop_front().unwrap();
        let offer: Vec<_> = server.take(discover).collect();
        // Behind the headers of Ethernet, IP and UDP.
        let packet = DhcpPacket::new_checked(&offer[0][42..]).unwrap();
        let option = |kind| packet.options().find(|option| option.kind == kind).unwrap().data.to_vec();
        assert_eq!(option(121), [24, 198, 51, 100, 192, 168, 233, 1]);
        assert_eq!(option(51), [0, 0, 0, 120]);
        assert_eq!(packet.your_ip(), CLIENT);
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..800)) {
            fuzz_frames(&bytes);
        }
    }
}
