//! Cases of `top`: pages, screens drawn into memory, the JSON document, keys.

mod scene;

use std::time::Duration;

use expect_test::{Expect, expect, expect_file};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use report::style::columns as columns_of;

use super::*;
use crate::top::order::sorted;
use crate::top::tests::scene::{attack, container, empty, herd, hostile};

fn screen(status: Status) -> Screen {
    let mut screen = Screen::new(Order::True, usize::MAX);
    screen.take(Ok(Box::new(status)));
    screen
}

fn drawn(screen: &mut Screen, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen.draw(frame, Duration::ZERO)).unwrap();
    if width == 0 || height == 0 {
        return String::new();
    }
    let text = terminal.backend().to_string();
    text.lines().map(|line| line.trim_matches('"').trim_end()).collect::<Vec<_>>().join("\n")
}

fn press(screen: &mut Screen, keys: &[KeyCode]) {
    for key in keys {
        assert!(screen.press(KeyEvent::new(*key, KeyModifiers::NONE)), "{key:?} ends it");
    }
}

fn check(screen: &mut Screen, size: (u16, u16), expected: &Expect) {
    expected.assert_eq(&drawn(screen, size));
}

#[test]
fn a_wide_terminal_shows_the_books_and_every_column() {
    check(
        &mut screen(attack()),
        (200, 16),
        &expect![[r#"
            tidewatch top - shop-1, 12:00:09 UTC, by true cost
            cpu [cccccccccccccccccceeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeekkssss???d....] 1.83 of 2 cores busy
                c containers 0.55  e engine 1.00  k kernel threads 0.06  p packets 0.03  s services 0.11  ? unaccounted 0.08  d waiting for disks 0.04  . idle 0.13
            5 containers cost 1.56 cores: 0.55 own, 1.01 out of band  engine log 0.97  packets 0.02
            2 incidents open, the worst: critical TW-23f3ba2e152e: container atk (image busybox): its own cgroup used 0.036 of a core, while the container engine spent 1.03 cores copying its output
            docker down: the engine does not answer
            waits: cpu 34 %  memory 0 %  disks 12 %  9 tasks to run  memory used: 5 GB of 8 GB
            used up: pseudo terminals 95 %, full in 12 s  disk /var/lib/docker 69 %, full in 12 min 34 s
               container    true cost    own  out of band                last 12 s     waits      memory   disk/s    net/s    log/s  trust       image         incident
            !  atk               1.03   0.04   0.99 engine log, packets  ▁▁▂▃▃▄▅▆▆▇██            1.05 MB        0   1.5 kB    36 MB  unapproved  busybox       TW-23f3ba2e152e
               web               0.33   0.31   0.02                      ▁▁▁▁▁▂▂▂▂▃▃▃  cpu 42 %    48 MB        0   1.5 kB    120 B  approved    shop/web:1.4
               batch             0.20   0.20   0.00                      ▁▁▁▁▁▁▁▁▂▂▂▂  at limit   730 MB   4.2 MB        -        -  approved    shop/web:1.4
               sh -c sleep       0.00   0.00   0.00                      ▁▁▁▁▁▁▁▁▁▁▁▁              48 MB        0   1.5 kB    120 B  ghost
               just-begun           -      -      -                                                    -        -        -        -  approved    shop/web:1.4

            q quit  enter breakdown  ↑↓ choose  space freeze  sort: t true  o own  b out of band  m memory  i disk  l log  n net"#]],
    );
}

#[test]
fn eighty_columns_keep_what_matters() {
    check(
        &mut screen(attack()),
        (80, 24),
        &expect![[r#"
            tidewatch top - shop-1, 12:00:09 UTC, by true cost
            cpu [ccccccccccccccceeeeeeeeeeeeeeeeeeeeeeeeeekksss??dd...] 1.83 of 2 cores busy
                c containers 0.55  e engine 1.00  k kernel threads 0.06  p packets 0.03
                s services 0.11  ? unaccounted 0.08  d waiting for disks 0.04  . idle 0.13
            5 containers cost 1.56 cores: 0.55 own, 1.01 out of band  engine log 0.97
                                      packets 0.02
            2 incidents open, the worst: critical TW-23f3ba2e152e: container atk (image bus…
            docker down: the engine does not answer
            waits: cpu 34 %  memory 0 %  disks 12 %  9 tasks to run
                   memory used: 5 GB of 8 GB
            used up: pseudo terminals 95 %, full in 12 s
                     disk /var/lib/docker 69 %, full in 12 min 34 s
            elsewhere: dockerd[411] 0.93  postgresql.service 0.09
              container     true   own out of band       last 10 s  waits     memory   log/s
            ! atk           1.03  0.04  0.99 engine log… ▂▃▃▄▅▆▆▇██          1.05 MB   36 MB
              web           0.33  0.31  0.02             ▁▁▁▂▂▂▂▃▃▃ cpu 42 %   48 MB   120 B
              batch         0.20  0.20  0.00             ▁▁▁▁▁▁▂▂▂▂ at limit  730 MB       -
              sh -c sleep   0.00  0.00  0.00             ▁▁▁▁▁▁▁▁▁▁            48 MB   120 B
              just-begun       -     -     -                                       -       -




            q quit  enter breakdown  ↑↓ choose  space freeze  sort: t true  o own  b out of…"#]],
    );
}

#[test]
fn the_readme_shows_the_screen_as_it_is() {
    let readme = include_str!("../../../../../README.md");
    let drawn = drawn(&mut screen(attack()), (100, 24));
    let missing: Vec<&str> =
        drawn.lines().filter(|line| !readme.contains(format!("\n    {line}").trim_end())).collect();
    assert!(missing.is_empty(), "README.md lacks:\n{}", missing.join("\n"));
}

#[test]
fn forty_columns_keep_the_cost() {
    check(
        &mut screen(attack()),
        (40, 12),
        &expect![[r#"
            tidewatch top - shop-1, 12:00:09 UTC, b…
            cpu [cccceeeeeep?.] 1.83 of 2 cores busy
                c containers 0.55  e engine 1.00
                k kernel threads 0.06   +5 more
              container       true out of band
            ! atk             1.03  0.99 engine log…
              web             0.33  0.02
              batch           0.20  0.00
              sh -c sleep     0.00  0.00
              just-begun         -     -

            q quit  enter breakdown  ↑↓ choose  spa…"#]],
    );
}

#[test]
fn twenty_columns_of_five_lines_still_name_the_dearest() {
    check(
        &mut screen(attack()),
        (20, 5),
        &expect![[r#"
            tidewatch top - sho…
              container     true
            ! atk           1.03
            4 more not shown: 0…
            q quit  enter break…"#]],
    );
}

#[test]
fn an_empty_host_says_so() {
    check(
        &mut screen(empty()),
        (80, 8),
        &expect![[r#"
            tidewatch top - shop-1, 12:00:09 UTC, by true cost
            the books of the first seconds are not closed yet
            docker down: the engine does not answer
              container   true   own out of band last 10 s  waits     memory  disk/s   log/s
            no container runs


            q quit  enter breakdown  ↑↓ choose  space freeze  sort: t true  o own  b out of…"#]],
    );
}

#[test]
fn the_breakdown_shows_each_class_with_what_drives_it() {
    let mut screen = screen(attack());
    press(&mut screen, &[KeyCode::Enter]);
    check(
        &mut screen,
        (100, 34),
        &expect![[r#"
            tidewatch top - shop-1, 12:00:09 UTC, by true cost
            atk
            image         busybox
            workload      busybox [yes]
            trust         managed, unapproved
            id            4f1c0a6de9f2
            cgroup        /docker/4f1c0a6de9f2
            first process 712, started 2026-01-31T11:02:03.000Z

            true cost       1.03  a full bar is 1.36 cores
            own             0.04                    ▁▁▁▁▁▁▁▁▁▁▁▁
            out of band     0.99                    ▁▁▂▃▃▄▅▆▆▇██

            engine copies its output     0.97 cores  ██████████ 98 % of what drives it
              driven by output 36 MB/s; spent on all containers: 1 cores
            packets                      0.02 cores  ████░░░░░░ 40 % of what drives it
              driven by packets 2000/s; spent on all containers: 1 cores
            engine answers calls        0.001 cores  ░░░░░░░░░░ 0 % of what drives it
              driven by the engine's process that serves it alone; spent on all containers: 1 cores

            own, usually  0.25 cores
            cpu limit     none
            waits         cpu 0 %, memory 0 %, disks 0 %
            memory        1.05 MB; no limit
            tasks         9, no limit
            log           36 MB/s
            disks         0 B/s, 0 operations/s
            network       1.5 kB/s, 12 packets/s, 0 connections/s opened, 0 accepted
            processes     0 forks/s, 0 programs/s, 0 crashes/s
            asks others   0 syncs/s of all data, 0 of files, 0 modules/s, 0 engine calls/s, 0 engine execs/s

            critical TW-23f3ba2e152e
            container atk (image busybox): its own cgroup used 0.036 of a core, while the container engine spent
            q quit  esc back  ↑↓ scroll  space freeze"#]],
    );
}

#[test]
fn no_size_makes_it_panic_and_no_line_is_wider_than_the_terminal() {
    for status in [attack(), empty(), herd(300), hostile()] {
        for size in [(0, 0), (1, 1), (2, 3), (7, 2), (20, 5), (33, 9), (79, 24), (400, 100)] {
            let mut screen = screen(status.clone());
            drawn(&mut screen, size);
            press(&mut screen, &[KeyCode::End, KeyCode::PageUp, KeyCode::Enter, KeyCode::Down]);
            drawn(&mut screen, size);
        }
        for room in 0..120 {
            let table = columns::Table::new(&sorted(&status.containers, Order::True), Some(room));
            let rows = status.containers.iter().map(|row| table.row(row));
            for line in rows.chain(books::lines(&status, room)) {
                assert!(line.width() <= room, "{room}: {line}");
            }
        }
    }
}

#[test]
fn a_hostile_name_cannot_steer_the_terminal_or_move_a_column() {
    let status = hostile();
    for text in [
        drawn(&mut screen(status.clone()), (120, 20)),
        document::text(&status, Order::True, usize::MAX, None),
        document::text(&status, Order::True, usize::MAX, Some(80)),
    ] {
        assert!(!text.contains(['\u{1b}', '\u{7}', '\r', '\t', '\u{9b}', '\u{202e}']), "{text:?}");
    }
    let text = document::text(&status, Order::True, usize::MAX, Some(80));
    let rows: Vec<&str> = text.lines().skip_while(|line| !line.contains("  true")).collect();
    assert!(rows.len() > 2 && rows.iter().all(|row| columns_of(row) <= 80), "{text}");
}

#[test]
fn every_order_puts_its_own_first_and_unknown_last() {
    let status = attack();
    let names = |order| {
        let rows = sorted(&status.containers, order);
        rows.into_iter().map(|row| row.name.to_string()).collect::<Vec<_>>().join(" ")
    };
    let all = [Order::True, Order::Own, Order::OutOfBand, Order::Memory, Order::Io, Order::Log, Order::Net];
    let told: Vec<String> = all.into_iter().map(|order| format!("{order:?}: {}", names(order))).collect();
    expect![[r#"
        True: atk web batch sh -c sleep just-begun
        Own: web batch atk sh -c sleep just-begun
        OutOfBand: atk web batch sh -c sleep just-begun
        Memory: batch web sh -c sleep atk just-begun
        Io: batch atk web sh -c sleep just-begun
        Log: atk web sh -c sleep batch just-begun
        Net: atk web sh -c sleep batch just-begun"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn keys_sort_choose_freeze_and_end() {
    let mut screen = screen(attack());
    press(&mut screen, &[KeyCode::Char('m')]);
    assert!(drawn(&mut screen, (120, 30)).contains("by memory"));
    press(&mut screen, &[KeyCode::Down, KeyCode::Char('d')]);
    let second = sorted(&attack().containers, Order::Memory)[1].name.to_string();
    assert!(drawn(&mut screen, (120, 30)).contains(&format!("\n{second}\n")));
    press(&mut screen, &[KeyCode::Esc, KeyCode::Char(' ')]);
    screen.take(Ok(Box::new(empty())));
    let frozen = drawn(&mut screen, (120, 30));
    assert!(frozen.contains("frozen") && frozen.contains("atk"), "{frozen}");
    let ends = |code, modifiers| KeyEvent::new(code, modifiers);
    assert!(!screen.press(ends(KeyCode::Char('q'), KeyModifiers::NONE)));
    assert!(!screen.press(ends(KeyCode::Char('c'), KeyModifiers::CONTROL)));
}

#[test]
fn the_choice_stays_with_its_container_when_the_order_moves() {
    let mut screen = screen(herd(50));
    press(&mut screen, &[KeyCode::End]);
    assert!(drawn(&mut screen, (80, 16)).contains("herd-049"));
    let mut moved = herd(50);
    moved.containers.push(container("dear", 900, (3.0, 0.0)));
    screen.take(Ok(Box::new(moved)));
    let text = drawn(&mut screen, (80, 16));
    assert!(text.contains("herd-049") && !text.contains("dear"), "{text}");
    press(&mut screen, &[KeyCode::Home]);
    assert!(drawn(&mut screen, (80, 16)).contains("dear"));
}

#[test]
fn what_is_not_shown_is_summed_up() {
    let text = drawn(&mut screen(herd(50)), (80, 16));
    assert!(text.contains("more not shown: "), "{text}");
    let page = document::text(&herd(50), Order::True, 2, None);
    assert!(page.ends_with("\n48 more not shown: 0.96 cores together"), "{page}");
}

#[test]
fn a_breakdown_of_a_container_that_ends_says_so() {
    let mut screen = screen(attack());
    drawn(&mut screen, (80, 24));
    press(&mut screen, &[KeyCode::Enter]);
    drawn(&mut screen, (80, 24));
    screen.take(Ok(Box::new(empty())));
    assert!(drawn(&mut screen, (80, 24)).contains("it no longer runs"));
}

#[test]
fn a_lost_tidewatch_leaves_the_old_picture_and_says_that_it_is_old() {
    let mut screen = screen(attack());
    screen.take(Err("no Tidewatch runs on \"/d\"".to_owned()));
    let text = drawn(&mut screen, (100, 20));
    assert!(text.starts_with("old picture: no Tidewatch runs on") && text.contains("atk"), "{text}");
}

#[test]
fn a_page_without_a_terminal_has_every_column() {
    expect![[r#"
        tidewatch top - shop-1, 12:00:09 UTC, by true cost
        cpu [cccccccccccccccccceeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeekkssss???d....] 1.83 of 2 cores busy
            c containers 0.55  e engine 1.00  k kernel threads 0.06  p packets 0.03  s services 0.11  ? unaccounted 0.08  d waiting for disks 0.04  . idle 0.13
        5 containers cost 1.56 cores: 0.55 own, 1.01 out of band  engine log 0.97  packets 0.02
        2 incidents open, the worst: critical TW-23f3ba2e152e: container atk (image busybox): its own cgroup used 0.036 of a core, while the container engine spent 1.0…
        docker down: the engine does not answer
        waits: cpu 34 %  memory 0 %  disks 12 %  9 tasks to run  memory used: 5 GB of 8 GB
        used up: pseudo terminals 95 %, full in 12 s  disk /var/lib/docker 69 %, full in 12 min 34 s
        elsewhere: dockerd[411] 0.93  postgresql.service 0.09

           container    true cost    own  out of band                last 12 s     waits      memory   disk/s    net/s    log/s  trust       image         incident
        !  atk               1.03   0.04   0.99 engine log, packets  ▁▁▂▃▃▄▅▆▆▇██            1.05 MB        0   1.5 kB    36 MB  unapproved  busybox       TW-23f3ba2e152e
           web               0.33   0.31   0.02                      ▁▁▁▁▁▂▂▂▂▃▃▃  cpu 42 %    48 MB        0   1.5 kB    120 B  approved    shop/web:1.4
           batch             0.20   0.20   0.00                      ▁▁▁▁▁▁▁▁▂▂▂▂  at limit   730 MB   4.2 MB        -        -  approved    shop/web:1.4
           sh -c sleep       0.00   0.00   0.00                      ▁▁▁▁▁▁▁▁▁▁▁▁              48 MB        0   1.5 kB    120 B  ghost
           just-begun           -      -      -                                                    -        -        -        -  approved    shop/web:1.4"#]].assert_eq(&document::text(&attack(), Order::True, usize::MAX, None));
}

#[test]
fn the_document_has_units_last_and_sums_what_it_leaves_out() {
    let value = document::json(&attack(), Order::True, 1).unwrap();
    let text = serde_json::to_string_pretty(&value).unwrap() + "\n";
    expect_file!["./tests/document.json"].assert_eq(&text);
}
