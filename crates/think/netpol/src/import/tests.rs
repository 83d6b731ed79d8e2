//! What policies are read as, and what is wrong with others, each at its line.

use expect_test::{Expect, expect};

use super::*;

/// The subjects and reasons as lines; else the problems.
fn check(yaml: &str, wanted: &Expect) {
    let told: Vec<String> = match import(yaml, "p.yaml") {
        Ok(said) => said.into_iter().map(|(subject, reason)| format!("{subject}  # {reason}")).collect(),
        Err(problems) => problems.iter().map(Problem::to_string).collect(),
    };
    wanted.assert_eq(&told.join("\n"));
}

/// A policy of the namespace `shop` for `app=web`, with this below `spec`.
fn policy(spec: &str) -> String {
    let head =
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: web\n  namespace: shop\n";
    let indented: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!("{head}spec:\n  podSelector: {{matchLabels: {{app: web}}}}\n{indented}")
}

#[test]
fn both_directions_with_every_kind_of_peer_and_port() {
    check(
        &policy(
            "policyTypes: [Ingress, Egress]
ingress:
  - from:
      - podSelector: {matchLabels: {app: till}}
      - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}
        podSelector: {matchLabels: {app: prometheus}}
      - ipBlock: {cidr: 172.17.0.0/16, except: [172.17.1.0/24]}
    ports:
      - {port: 8080}
      - {protocol: UDP, port: 32000, endPort: 32768}
egress:
  - to:
      - namespaceSelector: {}
    ports: [{protocol: UDP, port: 53}]
  - ports: [{protocol: SCTP}]",
        ),
        &expect![[r#"
            nothing else -> labels(namespace shop, app=web)  # NetworkPolicy shop/web
            labels(namespace shop, app=till) -> labels(namespace shop, app=web):8080/tcp (ingress)  # NetworkPolicy shop/web
            labels(namespace shop, app=till) -> labels(namespace shop, app=web):32000-32768/udp (ingress)  # NetworkPolicy shop/web
            labels(namespace monitoring, app=prometheus) -> labels(namespace shop, app=web):8080/tcp (ingress)  # NetworkPolicy shop/web
            labels(namespace monitoring, app=prometheus) -> labels(namespace shop, app=web):32000-32768/udp (ingress)  # NetworkPolicy shop/web
            172.17.0.0/16 (without 172.17.1.0/24) -> labels(namespace shop, app=web):8080/tcp (ingress)  # NetworkPolicy shop/web
            172.17.0.0/16 (without 172.17.1.0/24) -> labels(namespace shop, app=web):32000-32768/udp (ingress)  # NetworkPolicy shop/web
            labels(namespace shop, app=web) -> nothing else  # NetworkPolicy shop/web
            labels(namespace shop, app=web) -> labels(io.kubernetes.pod.namespace=*):53/udp (egress)  # NetworkPolicy shop/web
            labels(namespace shop, app=web) -> any/sctp (egress)  # NetworkPolicy shop/web"#]],
    );
}

#[test]
fn types_that_are_not_given_follow_from_the_rules() {
    check(&policy(""), &expect!["nothing else -> labels(namespace shop, app=web)  # NetworkPolicy shop/web"]);
    check(
        &policy("egress: []"),
        &expect!["nothing else -> labels(namespace shop, app=web)  # NetworkPolicy shop/web"],
    );
    check(
        &policy("egress: [{}]"),
        &expect![[r#"
        nothing else -> labels(namespace shop, app=web)  # NetworkPolicy shop/web
        labels(namespace shop, app=web) -> nothing else  # NetworkPolicy shop/web
        labels(namespace shop, app=web) -> any (egress)  # NetworkPolicy shop/web"#]],
    );
    check(
        &policy("policyTypes: [Egress]\ningress: [{}]"),
        &expect!["labels(namespace shop, app=web) -> nothing else  # NetworkPolicy shop/web"],
    );
    check(
        &policy("ingress: [{from: [], ports: []}]"),
        &expect![[r#"
        nothing else -> labels(namespace shop, app=web)  # NetworkPolicy shop/web
        any -> labels(namespace shop, app=web) (ingress)  # NetworkPolicy shop/web"#]],
    );
}

#[test]
fn expressions_are_what_labels_must_be() {
    check(
        &policy(
            "ingress:
  - from:
      - podSelector:
          matchExpressions:
            - {key: tier, operator: In, values: [front, back]}
            - {key: env, operator: NotIn, values: [dev]}
            - {key: role, operator: Exists}
            - {key: legacy, operator: DoesNotExist}
        namespaceSelector:
          matchExpressions:
            - {key: kubernetes.io/metadata.name, operator: In, values: [shop, bank]}",
        ),
        &expect![[r#"
            nothing else -> labels(namespace shop, app=web)  # NetworkPolicy shop/web
            labels(tier=front|back, env!=dev, role=*, legacy!=*, io.kubernetes.pod.namespace=shop|bank) -> labels(namespace shop, app=web) (ingress)  # NetworkPolicy shop/web"#]],
    );
}

#[test]
fn lists_and_several_documents_are_read_and_repetitions_said_once() {
    let one = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a, namespace: n}, spec: {podSelector: {}}}";
    check(
        &format!(
            "---\n{one}\n---\n---\napiVersion: v1\nkind: List\nitems:\n- {one}\n- {}\n",
            one.replace("name: a", "name: b")
        ),
        &expect!["nothing else -> labels(namespace n)  # NetworkPolicy n/a"],
    );
}

#[test]
fn one_thing_wrong_refuses_all_and_everything_wrong_is_told() {
    check(
        &policy(
            "policyTypes: [Ingress, Outgress]
ingress:
  - from:
      - namespaceSelector: {matchLabels: {team: a}}
      - ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/8]}
      - ipBlock: {cidr: ten}
      - ipBlock: {cidr: 10.0.0.0/8}
        podSelector: {}
      - {}
      - podSelector: {matchExpressions: [{key: a, operator: Is, values: [b]}, {key: a, operator: In}, {key: a, operator: Exists, values: [b]}]}
    ports:
      - port: http
      - port: 0
      - port: 70000
      - {port: 90, endPort: 80}
      - endPort: 80
      - {protocol: ICMP, port: 1}",
        ),
        &expect![[r#"
            p.yaml:8: "Outgress" is neither Ingress nor Egress
            p.yaml:11: selects namespaces by labels that no container shows; only kubernetes.io/metadata.name can be told
            p.yaml:12: 11.0.0.0/8 does not lie within 10.0.0.0/8
            p.yaml:13: "ten" is no prefix such as 10.0.0.0/8
            p.yaml:14: ipBlock stands alone: no selector beside it
            p.yaml:16: the peer is empty: give podSelector, namespaceSelector or ipBlock
            p.yaml:17: "Is" is none of In, NotIn, Exists, DoesNotExist
            p.yaml:17: Exists takes no values
            p.yaml:17: In needs values
            p.yaml:19: port "http" is a name, which only the pod's own manifest resolves: give its number
            p.yaml:20: 0 is no port: 1 to 65535
            p.yaml:21: 70000 is no port: 1 to 65535
            p.yaml:22: endPort 80 lies below port 90
            p.yaml:23: endPort needs a port that the range begins with
            p.yaml:24: "ICMP" is none of TCP, UDP, SCTP"#]],
    );
}

#[test]
fn what_is_no_policy_is_refused() {
    check("", &expect!["p.yaml:1: holds no NetworkPolicy"]);
    check(
        "kind: Deployment\nspec: {}",
        &expect!["p.yaml:1: Deployment is no NetworkPolicy and no list of them"],
    );
    check(
        "apiVersion: extensions/v1beta1\nkind: NetworkPolicy\nmetadata: {name: a}",
        &expect![[r#"
        p.yaml:1: apiVersion is "extensions/v1beta1"; only networking.k8s.io/v1 is known
        p.yaml:2: the policy has no spec"#]],
    );
    check(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nspec: {podselector: {}}",
        &expect![
            "p.yaml:3: unknown field `podselector`, expected one of podSelector, policyTypes, ingress, egress"
        ],
    );
    check(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nspec: {podSelector: {}}",
        &expect!["p.yaml:2: selects every pod and has no metadata.namespace: say of which namespace"],
    );
    check("kind: [", &expect!["p.yaml:1: expected string scalar"]);
    check(
        "a: &x 1\nb: *x",
        &expect!["p.yaml:1: YAML document too large or too complex: limits breached: Anchors { anchors: 1 }"],
    );
}

#[test]
fn a_policy_of_no_namespace_means_pods_by_their_labels_alone() {
    let without = policy("ingress: [{from: [{podSelector: {matchLabels: {app: till}}}]}]")
        .replace("  namespace: shop\n", "");
    check(
        &without,
        &expect![[r#"
        nothing else -> labels(app=web)  # NetworkPolicy web
        labels(app=till) -> labels(app=web) (ingress)  # NetworkPolicy web"#]],
    );
    let vague = policy("ingress: [{from: [{podSelector: {}}]}]").replace("  namespace: shop\n", "");
    check(
        &vague,
        &expect![
            "p.yaml:7: means every pod of the policy's namespace, which metadata.namespace does not say"
        ],
    );
}

#[test]
fn more_than_may_be_kept_is_refused_without_being_made() {
    let ports: String = (1..=200).map(|port| format!("{{port: {port}}}, ")).collect();
    let peers: String =
        (0..200).map(|number| format!("{{ipBlock: {{cidr: 10.0.{number}.0/24}}}}, ")).collect();
    let problems =
        import(&policy(&format!("ingress: [{{from: [{peers}], ports: [{ports}]}}]")), "p.yaml").unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.starts_with("says 1001 things"), "{problems:?}");
}

#[test]
fn hostile_text_is_bounded_and_escaped() {
    let deep = format!("kind: {}{}", "[".repeat(5_000), "]".repeat(5_000));
    let bomb =
        format!("a: &a [{}]\n", "x,".repeat(10)) + &(0..50).map(|_| "b: [*a,*a,*a]\n").collect::<String>();
    let long = "x".repeat(5 << 20);
    for yaml in [&deep, &bomb, &long, "kind: \"\\e[2J\\u202e\"", "\u{0}"] {
        let problems = import(yaml, "\u{1b}[2Jp.yaml").unwrap_err();
        let told: String = problems.iter().map(Problem::to_string).collect();
        assert!(!told.contains(['\u{1b}', '\u{202e}', '\n']), "{told:?}");
    }
}
