//! The addresses of this host that others can dial.
//!
//! The only place that asks the system for its network interfaces. Interfaces that are down, and link-local IPv6 addresses
//! (they mean nothing without the interface of whoever dials), are left out.

use crate::limits::ADDRESS_COUNT_MAX;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of this host's interfaces that are up, at most as many as one announcement may hold. Loopback ones are
/// among them, and first, where `with_loopback`; then IPv4. Empty where the system does not tell.
pub fn interface_ips(with_loopback: bool) -> Vec<IpAddr> {
    let interfaces = match if_addrs::get_if_addrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            tracing::warn!(%error, "the system does not name its network interfaces");
            return Vec::new();
        }
    };
    let is_wanted =
        |ip: &IpAddr| (with_loopback || !ip.is_loopback()) && !ip.is_unspecified() && !is_link_local_v6(*ip);
    let up = interfaces.iter().filter(|interface| interface.is_oper_up() || interface.is_loopback());
    let mut ips: Vec<IpAddr> = up.map(if_addrs::Interface::ip).filter(is_wanted).collect();
    ips.sort_by_key(|ip| (!ip.is_loopback(), ip.is_ipv6(), is_link_local_v4(*ip), *ip));
    ips.dedup();
    ips.truncate(ADDRESS_COUNT_MAX);
    ips
}

/// What a listener on all addresses can be reached under; loopback where there is nothing else.
pub(crate) fn reachable_ips(only_v4: bool) -> Vec<IpAddr> {
    let mut ips = interface_ips(false);
    ips.retain(|ip| ip.is_ipv4() || !only_v4);
    if ips.is_empty() {
        ips.push(if only_v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    ips
}

fn is_link_local_v4(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(v4) if v4.is_link_local())
}

fn is_link_local_v6(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_them_when_asked_for() {
        assert!(interface_ips(true).first().is_some_and(IpAddr::is_loopback));
        assert!(interface_ips(false).iter().all(|ip| !ip.is_loopback()));
        assert!(!reachable_ips(true).is_empty());
    }
}
