//! What an approval covers, in words.
//!
//! Not here: whether it covers something, which `state` decides.

use model::approval::Scope;
use model::untrusted::Untrusted;
use model::view::EngineKind;

/// What is approved, as the object of "approved …". Foreign text in it is escaped.
pub fn scope_text(scope: &Scope) -> String {
    match scope {
        Scope::Digest { digest, image } if image.is_empty() => format!("image {digest}"),
        Scope::Digest { digest, image } => format!("image {image} ({digest})"),
        Scope::Pattern { pattern } => match pattern.raw().strip_suffix("/**").filter(|it| is_plain(it)) {
            Some(registry) => format!("all images from {}", Untrusted::new(registry)),
            None => format!("images named {pattern}"),
        },
        Scope::Workload { workload, digest } => format!("workload {workload} with image {digest}"),
        Scope::Edge(edge) => format!("edge {edge}"),
        Scope::Engine { view } if view.engine == EngineKind::Containerd && view.namespace.is_empty() => {
            format!("engine {view}, in all its namespaces")
        }
        Scope::Engine { view } => format!("engine {view}"),
        Scope::Rights { workload, rights } => {
            let rights: Vec<String> = rights.iter().map(ToString::to_string).collect();
            let rights = if rights.is_empty() { "no rights".to_owned() } else { rights.join(", ") };
            format!("workload {workload} with rights over the host: {rights}")
        }
        Scope::Administration { workload, command } => format!("running {command} in workload {workload}"),
        Scope::Unclaimed { workload, root } => {
            format!("workload {workload} in {root}, though no engine claims it")
        }
        Scope::Listener { workload, port: 0, protocol } => {
            format!("workload {workload} serves any port that the kernel picks, {protocol}")
        }
        Scope::Listener { workload, port, protocol } => {
            format!("workload {workload} serves {port}/{protocol}")
        }
    }
}

/// Whether a glob would take it for plain text.
fn is_plain(text: &str) -> bool {
    !text.contains(['*', '?', '[', ']', '{', '}', '!', '\\'])
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use model::ids::WorkloadKey;
    use model::view::View;
    use testkit::incidents::HOSTILE;

    use super::*;

    #[test]
    fn every_scope_is_told_in_words_and_foreign_text_is_escaped() {
        let workload = WorkloadKey::new("compose:shop/web nginx");
        let containerd = View::new(EngineKind::Containerd, "/run/x.sock");
        let scopes = [
            Scope::Pattern { pattern: "registry.example/**".into() },
            Scope::Pattern { pattern: "registry.example/shop/*".into() },
            Scope::Pattern { pattern: "*/**".into() },
            Scope::Engine { view: View::default() },
            Scope::Engine { view: containerd.of_namespace(&"moby".into()) },
            Scope::Engine { view: containerd },
            Scope::Rights {
                workload: workload.clone(),
                rights: vec!["cap:SYS_ADMIN".into(), "host:pid".into()],
            },
            Scope::Rights { workload: workload.clone(), rights: Vec::new() },
            Scope::Administration { workload: workload.clone(), command: "pg_dump *".into() },
            Scope::Unclaimed { workload: WorkloadKey::new("unclaimed:/srv/job"), root: "/srv/rootfs".into() },
            Scope::Unclaimed { workload, root: HOSTILE.into() },
        ];
        let told: String = scopes.iter().map(|scope| scope_text(scope) + "\n").collect();
        expect![[r#"
            all images from registry.example
            images named registry.example/shop/*
            images named */**
            engine docker
            engine containerd:moby at /run/x.sock
            engine containerd at /run/x.sock, in all its namespaces
            workload compose:shop/web nginx with rights over the host: cap:SYS_ADMIN, host:pid
            workload compose:shop/web nginx with rights over the host: no rights
            running pg_dump * in workload compose:shop/web nginx
            workload unclaimed:/srv/job in /srv/rootfs, though no engine claims it
            workload compose:shop/web nginx in x\u{1b}[2J\u{1b}]0;owned\u{7}\n\r\t"'`$(id)<script>alert(1)</script>\u{9b}31m\u{202e}gnp\\, though no engine claims it
        "#]].assert_eq(&told);
    }
}
