//! Who is found at the other end, and when.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use expect_test::{Expect, expect};
use model::coverage::Source;
use model::event::{Body, Socket, SocketState};
use model::runtime::PublishedPort;
use model::traffic::{Direction, DnsMessage, InterfaceAddress, Peer, Protocol, Talk};
use model::traffic::{Flow, FlowCounts, Flows, TalkKind};
use testkit::scene::{Actor, Scene};

use crate::Enrich;

const GATEWAY: [u8; 4] = [172, 18, 0, 1];

struct Stage {
    scene: Scene,
    enrich: Enrich,
    told: Vec<Talk>,
}

impl Stage {
    /// A host with a bridge of its own.
    fn new() -> Self {
        let mut stage = Self { scene: Scene::new(2), enrich: Enrich::default(), told: Vec::new() };
        let own = |address: [u8; 4], prefix_bits| InterfaceAddress { address: address.into(), prefix_bits };
        stage.tell(Body::Interfaces(vec![own(GATEWAY, 16), own([198, 51, 100, 7], 24)]));
        stage
    }

    fn tell(&mut self, body: Body) {
        self.scene.emit(Source::Kernel, body);
        self.fold();
    }

    fn fold(&mut self) {
        for event in self.scene.take() {
            self.told.extend(self.enrich.identify(event).identity.talks);
        }
    }

    fn start(&mut self, name: &str, last: u8) -> Actor {
        let actor = self.scene.start_unclaimed("serve");
        self.claim(actor, name, last);
        actor
    }

    fn claim(&mut self, actor: Actor, name: &str, last: u8) {
        self.scene.claim(actor, name, "shop/web", |facts| {
            facts.addresses = vec![[172, 18, 0, last].into()];
            facts.published =
                vec![PublishedPort { protocol: Protocol::TCP, host_port: 8000 + u16::from(last), port: 80 }];
        });
        self.fold();
    }

    fn end(&mut self, actor: Actor) {
        self.scene.end(actor);
        self.fold();
    }

    fn socket(&mut self, actor: Actor, state: SocketState, remote: impl Into<SocketAddr>) {
        let local = SocketAddr::from(([172, 18, 0, 200], 40_000));
        self.tell(Body::Socket(Box::new(Socket::new(actor.cgroup(), state, local, remote.into()))));
    }

    fn connect(&mut self, actor: Actor, remote: impl Into<SocketAddr>) {
        self.socket(actor, SocketState::Connected, remote);
    }

    /// Flows that the kernel's table holds already go on: to whom, and how many connections were opened.
    fn goes_on(&mut self, actor: Actor, to: &[(SocketAddr, u64)]) {
        let flow = |&(to, opened): &(SocketAddr, u64)| Flow {
            key: Socket::new(actor.cgroup(), SocketState::Connected, (GATEWAY, 1).into(), to).flow().unwrap(),
            counts: FlowCounts { opened, ..FlowCounts::default() },
        };
        let flows = to.iter().map(flow).collect();
        self.tell(Body::Flows(Box::new(Flows { cgroup: actor.cgroup(), flows })));
    }

    fn wait(&mut self, seconds: u64) {
        self.scene.pause(Duration::from_secs(seconds));
        self.scene.emit(Source::Engine, Body::Tick);
        self.fold();
    }

    /// What was told since the last look.
    fn check(&mut self, expected: &Expect) {
        let lines: Vec<String> = self.told.drain(..).map(|talk| line(&talk)).collect();
        expected.assert_eq(&lines.join("\n"));
    }
}

fn line(talk: &Talk) -> String {
    let peer = match &talk.peer {
        Peer::Container(container) => container.name().to_string(),
        Peer::Host => "the host".to_owned(),
        Peer::Inside(address) => format!("inside {address}"),
        Peer::Outside { address, name } => format!("outside {address} {}", name.clone().unwrap_or_default()),
    };
    let what = match &talk.what {
        TalkKind::Contact { state, .. } => format!("{state:?}"),
        TalkKind::Closed { .. } => "Closed".to_owned(),
        TalkKind::Counted(counts) => format!("counted {}", counts.opened),
    };
    format!(
        "{} {:?} {} :{} {what}",
        talk.container.name(),
        talk.key.direction,
        peer.trim_end(),
        talk.key.port
    )
}

#[test]
fn both_ends_are_named_whoever_opens() {
    let mut stage = Stage::new();
    let (web, shop) = (stage.start("web", 2), stage.start("shop", 3));
    stage.connect(web, ([172, 18, 0, 3], 80));
    stage.socket(shop, SocketState::Accepted, ([172, 18, 0, 2], 40_000));
    stage.connect(web, (GATEWAY, 22));
    stage.connect(web, ([127, 0, 0, 1], 80));
    stage.connect(web, ([172, 18, 0, 2], 80));
    stage.check(&expect![[r#"
        web Out shop :80 Connected
        shop In web :40000 Accepted
        web Out the host :22 Connected"#]]);
}

#[test]
fn an_address_whose_holder_is_not_told_yet_is_waited_for() {
    let mut stage = Stage::new();
    let web = stage.start("web", 2);
    let late = stage.scene.start_unclaimed("serve");
    stage.connect(web, ([172, 18, 0, 9], 80));
    stage.check(&expect![[""]]);
    stage.wait(1);
    stage.claim(late, "late", 9);
    stage.check(&expect!["web Out late :80 Connected"]);
}

#[test]
fn a_port_of_the_host_leads_to_the_container_behind_it() {
    let mut stage = Stage::new();
    let (web, _shop) = (stage.start("web", 2), stage.start("shop", 3));
    stage.connect(web, ([198, 51, 100, 7], 8003));
    stage.connect(web, ([198, 51, 100, 7], 9999));
    stage.check(&expect![[r#"
        web Out shop :80 Connected
        web Out the host :9999 Connected"#]]);
}

#[test]
fn what_lies_outside_has_the_name_it_was_looked_up_by() {
    let mut stage = Stage::new();
    let (web, other) = (stage.start("web", 2), stage.start("other", 3));
    stage.tell(Body::Dns(Box::new(DnsMessage {
        cgroup: web.cgroup(),
        server: [127, 0, 0, 11].into(),
        is_answer: true,
        name: "api.example.com".into(),
        record_type: 1,
        code: 0,
        addresses: vec![[203, 0, 113, 7].into()],
        bytes: 60,
    })));
    for actor in [web, other] {
        stage.connect(actor, ([203, 0, 113, 7], 443));
    }
    stage.check(&expect![[r#"
        web Out outside 203.0.113.7 api.example.com :443 Connected
        other Out outside 203.0.113.7 :443 Connected"#]]);
}

#[test]
fn a_network_that_was_made_just_now_is_known_before_its_gateway_is_a_stranger() {
    let mut stage = Stage::new();
    let shop = stage.start("shop", 3);
    let made = ([172, 28, 0, 1], 41_000);
    stage.socket(shop, SocketState::Accepted, made);
    stage.check(&expect![""]);
    let own = |address: [u8; 4]| InterfaceAddress { address: address.into(), prefix_bits: 16 };
    stage.wait(1);
    stage.tell(Body::Interfaces(vec![own(GATEWAY), own(made.0)]));
    stage.wait(1);
    stage.check(&expect!["shop In the host :40000 Accepted"]);
}

#[test]
fn an_end_is_looked_for_anew_when_the_host_takes_or_loses_its_address() {
    let mut stage = Stage::new();
    let shop = stage.start("shop", 3);
    stage.connect(shop, ([172, 28, 0, 1], 53));
    stage.connect(shop, (GATEWAY, 53));
    stage.wait(4);
    stage.check(&expect![[r#"
        shop Out the host :53 Connected
        shop Out inside 172.28.0.1 :53 Connected"#]]);
    let own = |address: [u8; 4]| InterfaceAddress { address: address.into(), prefix_bits: 16 };
    stage.tell(Body::Interfaces(vec![own([172, 28, 0, 1])]));
    stage.goes_on(shop, &[(([172, 28, 0, 1], 53).into(), 1), ((GATEWAY, 53).into(), 1)]);
    stage.wait(4);
    stage.check(&expect![[r#"
        shop Out the host :53 counted 1
        shop Out inside 172.18.0.1 :53 counted 1"#]]);
}

#[test]
fn an_address_of_our_own_network_that_nobody_has_is_inside_in_the_end() {
    let mut stage = Stage::new();
    let web = stage.start("web", 2);
    stage.socket(web, SocketState::Failed, ([172, 18, 0, 77], 80));
    stage.wait(1);
    stage.check(&expect![[""]]);
    stage.wait(3);
    stage.check(&expect!["web Out inside 172.18.0.77 :80 Failed"]);
}

#[test]
fn what_waited_is_told_before_what_comes_after_it() {
    let mut stage = Stage::new();
    let web = stage.start("web", 2);
    let late = stage.scene.start_unclaimed("serve");
    stage.scene.claim(late, "late", "shop/web", |_| ());
    stage.fold();
    stage.scene.pause(Duration::from_secs(5));
    let to = SocketAddr::from(([172, 18, 0, 9], 80));
    stage.socket(web, SocketState::Failed, to);
    // Its own socket tells whose the address is: no claim comes, with which all that waits would be looked through.
    let own = Socket::new(late.cgroup(), SocketState::Accepted, to, (GATEWAY, 5).into());
    stage.tell(Body::Socket(Box::new(own)));
    stage.goes_on(web, &[(to, 1)]);
    stage.check(&expect![[r#"
        late In the host :80 Accepted
        web Out late :80 Failed
        web Out late :80 counted 1"#]]);
}

#[test]
fn what_is_told_before_ones_own_runtime_has_claimed_one_waits_too() {
    let mut stage = Stage::new();
    let early = stage.scene.start_unclaimed("serve");
    stage.connect(early, ([203, 0, 113, 7], 443));
    stage.connect(early, ([203, 0, 113, 7], 443));
    stage.check(&expect![[""]]);
    stage.claim(early, "early", 4);
    stage.check(&expect![[r#"
        early Out outside 203.0.113.7 :443 Connected
        early Out outside 203.0.113.7 :443 Connected"#]]);
}

#[test]
fn fifty_restarts_with_each_others_addresses_confuse_nobody() {
    let mut stage = Stage::new();
    let client = stage.start("client", 2);
    let (mut web, mut shop) = (stage.start("web", 10), stage.start("shop", 11));
    for round in 0..50 {
        let (web_at, shop_at) = if round % 2 == 0 { (11, 10) } else { (10, 11) };
        stage.end(web);
        stage.end(shop);
        // Between the two nobody has it: the failure is still that of who had it.
        stage.socket(client, SocketState::Failed, ([172, 18, 0, web_at], 80));
        stage.scene.pause(Duration::from_millis(400));
        web = stage.scene.start_unclaimed("serve");
        shop = stage.scene.start_unclaimed("serve");
        // The kernel's line of the flow goes on: no first contact is told.
        stage.scene.pause(Duration::from_secs(3));
        let to = |last: u8| (SocketAddr::from(([172, 18, 0, last], 80)), u64::from(last));
        stage.goes_on(client, &[to(web_at), to(shop_at)]);
        stage.claim(web, "web", web_at);
        stage.claim(shop, "shop", shop_at);
        stage.wait(1);
        for talk in stage.told.drain(..) {
            let Peer::Container(peer) = &talk.peer else { panic!("round {round}: {}", line(&talk)) };
            if let TalkKind::Counted(counts) = &talk.what {
                let expected = if counts.opened == u64::from(web_at) { "web" } else { "shop" };
                assert_eq!(peer.name().raw(), expected, "round {round}: {}", line(&talk));
            }
        }
    }
}

#[test]
fn of_as_many_ends_as_the_kernel_tells_while_they_wait_none_is_lost() {
    let mut stage = Stage::new();
    let web = stage.start("web", 2);
    let to = SocketAddr::from(([10, 9, 9, 9], 5432));
    stage.connect(web, to);
    let mut ended = Socket::new(web.cgroup(), SocketState::Closed, (GATEWAY, 1).into(), to);
    ended.opened_by = Some(Direction::Out);
    for _ in 0..3 {
        (0..19).for_each(|_| stage.tell(Body::Socket(Box::new(ended.clone()))));
        stage.goes_on(web, &[(to, 19)]);
    }
    stage.check(&expect![""]);
    stage.wait(4);
    assert_eq!((stage.told.len(), stage.enrich.dropped()), (1 + 3 * 20, 0));
}

#[test]
fn a_flood_of_addresses_stays_bounded_and_is_counted() {
    let mut stage = Stage::new();
    let web = stage.start("web", 2);
    for number in 0..70_000_u32 {
        let address = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
        stage.connect(web, (address, 80));
    }
    assert_eq!(
        stage.told.len(),
        70_000 - 4_096,
        "so many wait, and what finds no room is told by its address"
    );
    stage.wait(4);
    assert_eq!(stage.told.len(), 70_000, "nothing is hidden by how much there is");
    let dropped = stage.enrich.dropped();
    assert!(dropped >= 70_000 - 8_192);
    let calm = stage.start("calm", 3);
    stage.connect(calm, (IpAddr::from([203, 0, 113, 7]), 443));
    assert_eq!(stage.enrich.dropped(), dropped, "the next one has room of its own");
}
