//! History, feeds and lists: what every engine must find, run on each of them.

use creditledger::ledger::commands::{ChargeIncident, Command, EstimateIncident, Quote, UpdateCustomer};
use creditledger::ledger::lot::LotSource;
use creditledger::ledger::{CustomerKey, HoldState, LedgerNo, PostingId, Text, Timestamp};
use creditledger::query::{PageRequest, PostingFilter, Reader};
use creditledger::store::{
    At, ClassStats, ClassStatsFilter, HoldFilter, LotFilter, Position, READ_BYTES_MAX,
};

use crate::desk::{
    START, charge, charge_command, credits, estimate_command, grant, id, place, place_with, purchase,
    release, reverse, settle, work,
};
use crate::rig::{Rig, on_each_engine};

on_each_engine! {
    history_is_found_by_sequence_time_position_and_id
    feeds_and_lists_come_in_pages
    estimates_and_charges_are_counted_by_class
    reads_of_large_postings_end_after_a_few_megabytes
}

async fn history_is_found_by_sequence_time_position_and_id(mut rig: Rig) {
    rig.new_customer("zeta").await;
    rig.new_customer("acme").await;
    for step in 0..150 {
        // Other customers' postings in between, and several of one's own at one time.
        let mut requests = Vec::new();
        for nth in 0..=(step % 3) {
            let mut request = rig.request(grant("1"));
            if (step + nth) % 4 == 0 {
                request.customer = id("zeta");
            }
            requests.push(request);
        }
        rig.batch(&requests).await;
    }
    let all = rig.reader.feed(LedgerNo::MAIN, Position(0), 1_000).await.unwrap().items;
    let key = rig.key();
    let own: Vec<_> = all.iter().filter(|recorded| recorded.posting.customer == key).collect();
    assert!(own.len() > 200);
    let expect = |found: &dyn Fn(&creditledger::store::Recorded) -> bool| {
        own.iter().rev().find(|recorded| found(recorded)).map(|recorded| (*recorded).clone())
    };
    for point in &all {
        let at = At::Position(point.position);
        let found = rig.reader.posting_at(key, at).await.unwrap();
        assert_eq!(found, expect(&|recorded| recorded.position <= point.position), "{at:?}");
        let time = point.posting.recorded_at;
        let found = rig.reader.posting_at(key, At::Time(time)).await.unwrap();
        assert_eq!(found, expect(&|recorded| recorded.posting.recorded_at <= time), "{time:?}");
        let at = At::Posting(point.posting.id);
        let found = rig.reader.posting_at(key, at).await.unwrap();
        assert_eq!(found, expect(&|recorded| recorded.posting.id == point.posting.id), "{at:?}");
    }
    for recorded in &own {
        let at = At::Sequence(recorded.posting.sequence);
        assert_eq!(rig.reader.posting_at(key, at).await.unwrap().as_ref(), Some(*recorded), "{at:?}");
    }
    let last = own.last().map(|recorded| (*recorded).clone());
    for at in [At::Sequence(u64::MAX), At::Position(Position(u64::MAX)), At::Time(Timestamp::MAX)] {
        assert_eq!(rig.reader.posting_at(key, at).await.unwrap(), last, "{at:?}");
    }
    let before_all = Timestamp::from_micros(START.micros() - 1);
    for at in
        [At::Sequence(0), At::Position(Position(0)), At::Time(before_all), At::Posting(PostingId::default())]
    {
        assert_eq!(rig.reader.posting_at(key, at).await.unwrap(), None, "{at:?}");
    }
    for (first, last) in [(1, 5), (7, 7), (0, 3), (100, 160), (190, u64::MAX), (9, 8), (u64::MAX, u64::MAX)] {
        let found = rig.reader.postings_of(key, first, last).await.unwrap().items;
        let wanted = own.iter().filter(|recorded| (first..=last).contains(&recorded.posting.sequence));
        assert_eq!(
            found,
            wanted.map(|recorded| (*recorded).clone()).collect::<Vec<_>>(),
            "{first} to {last}"
        );
    }
}

async fn feeds_and_lists_come_in_pages(mut rig: Rig) {
    for customer in ["acme", "Zeta", "nova"] {
        rig.new_customer(customer).await;
        rig.ok(purchase(&format!("{customer}-1"), "50")).await;
        rig.ok(grant("5")).await;
        for nth in 0..4 {
            rig.ok(place(&format!("i{nth}"), "1")).await;
            rig.ok(if nth % 2 == 0 { release(&format!("i{nth}")) } else { settle(&format!("i{nth}")) }).await;
        }
        rig.ok(charge("direct", 30)).await;
    }
    let mut after = Position(0);
    let mut positions = Vec::new();
    loop {
        let page = rig.reader.feed(LedgerNo::MAIN, after, 7).await.unwrap().items;
        let Some(last) = page.last() else { break };
        after = last.position;
        positions.extend(page.iter().map(|recorded| recorded.position.0));
    }
    assert_eq!(positions, (1..=36).collect::<Vec<_>>());

    let first = rig.reader.customers(LedgerNo::MAIN, None, 2).await.unwrap();
    let rest = rig.reader.customers(LedgerNo::MAIN, Some(&first[1].0.id), 2).await.unwrap();
    let ids: Vec<&str> = first.iter().chain(&rest).map(|(customer, _)| customer.id.as_str()).collect();
    assert_eq!(ids, ["Zeta", "acme", "nova"]);

    let acme = CustomerKey::of(LedgerNo::MAIN, &id("acme"));
    let holds = |filter: HoldFilter| {
        let reader = rig.reader.clone();
        async move {
            let (mut found, mut before) = (Vec::new(), None);
            loop {
                let page = reader.holds(LedgerNo::MAIN, &filter, before, 2).await.unwrap();
                assert!(page.items.len() <= 2);
                found.extend(page.items);
                before = page.next;
                if before.is_none() {
                    assert!(found.is_sorted_by(|one, other| one.id > other.id));
                    return found;
                }
            }
        }
    };
    let of = |customer| HoldFilter { customer, ..HoldFilter::default() };
    assert_eq!(holds(of(None)).await.len(), 12);
    assert_eq!(holds(of(Some(acme))).await.len(), 4);
    assert_eq!(holds(HoldFilter { incident: Some(id("i1")), ..of(None) }).await.len(), 3);
    assert_eq!(holds(HoldFilter { incident: Some(id("i1")), ..of(Some(acme)) }).await.len(), 1);
    assert_eq!(holds(HoldFilter { states: vec![HoldState::Settled], ..of(Some(acme)) }).await.len(), 2);
    assert_eq!(holds(HoldFilter { settled: true, ..of(Some(acme)) }).await.len(), 3);
    assert_eq!(holds(HoldFilter { settled: true, ..of(None) }).await.len(), 9);
    assert_eq!(holds(HoldFilter { class: Some(id("sales")), ..of(None) }).await.len(), 0);
    let all = holds(of(None)).await;
    let (from, until) = (Some(all[8].created_at), Some(all[3].created_at));
    assert_eq!(holds(HoldFilter { from, until, ..of(None) }).await, all[4..=8]);
    assert_eq!(holds(HoldFilter { from, until, ..of(Some(acme)) }).await, all[8..=8]);
    // A page can be asked for from behind anything, such as another customer's hold.
    let behind = rig.reader.holds(LedgerNo::MAIN, &of(Some(acme)), Some(all[9].id), 10).await.unwrap();
    assert_eq!(behind.items, all[10..]);

    let nova = CustomerKey::of(LedgerNo::MAIN, &id("nova"));
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let page = rig.reader.lots(LedgerNo::MAIN, &LotFilter::default(), before, 4).await.unwrap();
        found.extend(page.items);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let owners: Vec<&str> = found.iter().map(|owned| owned.customer.as_str()).collect();
    assert_eq!(owners, ["nova", "nova", "Zeta", "Zeta", "acme", "acme"]);
    for (filter, count) in [
        (LotFilter { customer: Some(nova), ..LotFilter::default() }, 2),
        (LotFilter { source: Some(LotSource::Grant), ..LotFilter::default() }, 3),
        (LotFilter { customer: Some(nova), storefront: Some(id("web")), ..LotFilter::default() }, 1),
        (LotFilter { storefront: Some(id("shop")), ..LotFilter::default() }, 0),
        (LotFilter { from: Some(found[2].lot.created_at), ..LotFilter::default() }, 3),
        (LotFilter { until: Some(found[2].lot.created_at), ..LotFilter::default() }, 3),
    ] {
        let page = rig.reader.lots(LedgerNo::MAIN, &filter, None, 10).await.unwrap();
        assert_eq!(page.items.len(), count, "{filter:?}");
    }
}

/// A rare filter over many rows gives short pages, and the last of them has what was looked for.
#[tokio::test]
async fn a_page_reads_a_bounded_number_of_rows() {
    let mut rig = Rig::sqlite().await;
    rig.new_customer("acme").await;
    rig.ok(purchase("o1", "100000")).await;
    rig.ok(place("rare", "1")).await;
    rig.ok(settle("rare")).await;
    for batch in 0..11 {
        let requests: Vec<_> =
            (0..500).map(|nth| rig.request(grant(&format!("{}", batch * 500 + nth + 1)))).collect();
        rig.batch(&requests).await;
        let requests: Vec<_> =
            (0..500).map(|nth| rig.request(place(&format!("i{}", batch * 500 + nth), "1"))).collect();
        rig.batch(&requests).await;
    }
    for customer in [None, Some(rig.key())] {
        let filter = HoldFilter { customer, settled: true, ..HoldFilter::default() };
        let first = rig.reader.holds(LedgerNo::MAIN, &filter, None, 10).await.unwrap();
        assert_eq!(first.items, []);
        let second = rig.reader.holds(LedgerNo::MAIN, &filter, first.next, 10).await.unwrap();
        assert_eq!((second.items.len(), second.items[0].incident.as_str(), second.next), (1, "rare", None));
        let filter = LotFilter { customer, source: Some(LotSource::Purchase), ..LotFilter::default() };
        let first = rig.reader.lots(LedgerNo::MAIN, &filter, None, 10).await.unwrap();
        assert_eq!(first.items, []);
        let second = rig.reader.lots(LedgerNo::MAIN, &filter, first.next, 10).await.unwrap();
        assert_eq!((second.items.len(), second.next), (1, None));
    }
    let filter = HoldFilter { incident: Some(id("rare")), ..HoldFilter::default() };
    let page = rig.reader.holds(LedgerNo::MAIN, &filter, None, 10).await.unwrap();
    assert_eq!((page.items.len(), page.next), (1, None));
}

async fn estimates_and_charges_are_counted_by_class(mut rig: Rig) {
    let estimated = |incident: &str, class: &str, amount: &str| {
        let quote = Quote::Credits(credits(amount));
        let class = (!class.is_empty()).then(|| id(class));
        place_with(EstimateIncident { class, ..estimate_command(incident, quote) }, false)
    };
    rig.new_customer("acme").await;
    rig.ok(purchase("o1", "1000")).await;
    for (incident, class, estimate, minutes) in [
        ("i1", "design", "2", 30),
        ("i2", "design", "2", 45),
        ("i3", "design", "2", 60),
        ("i4", "design", "2", 90),
        ("i5", "design", "2", 150),
        // Opened again: 90 minutes in all cost 3, the 30 before 1.
        ("i1", "design", "1", 60),
        ("i6", "", "1", 120),
        ("i7", "free", "0", 0),
    ] {
        rig.ok(estimated(incident, class, estimate)).await;
        rig.ok(work(incident, minutes)).await;
        rig.ok(settle(incident)).await;
    }
    let middle = rig.now.plus_seconds(1);
    rig.now = middle;
    let direct = ChargeIncident { class: Some(id("design")), ..charge_command("i8", 31) };
    rig.ok(Command::ChargeIncident(direct)).await;
    rig.ok(estimated("open", "design", "9")).await;
    rig.new_customer("zeta").await;
    rig.ok(purchase("o2", "1000")).await;
    rig.ok(estimated("i2", "design", "4")).await;
    rig.ok(work("i2", 600)).await;
    rig.ok(settle("i2")).await;
    rig.ok(reverse("i2", None)).await;

    let ledger = LedgerNo::MAIN;
    let all = ClassStatsFilter { ledger, class: None, from: None, until: None };
    let shown = async |filter: &ClassStatsFilter, after: Option<&str>, limit: usize| {
        let stats = rig.reader.class_stats(filter, after, limit).await.unwrap();
        let line = |by: &ClassStats| {
            let class = by.class.as_ref().map_or("-", |class| class.as_str());
            let [p50, p80, p95] = by.charged_percentiles;
            let sums = format!("{class}: {} {}/{} {p50} {p80} {p95}", by.incidents, by.charged, by.estimated);
            format!("{sums}, {} of {} {:?}", by.over_estimate, by.with_estimate, by.ratio_percentiles)
        };
        stats.iter().map(line).collect::<Vec<_>>()
    };
    // By hand: 1.03 without an estimate, 1.5, 2, 3, 3, 5, and 20 of zeta's; ratios .75, 1, 1, 1.5, 2.5 and 5.
    let design = "design: 7 35.53/15 3 5 20, 3 of 6 Some([10000, 25000, 50000])";
    let none = "-: 1 4/1 4 4 4, 1 of 1 Some([40000, 40000, 40000])";
    let free = "free: 1 1/0 1 1 1, 0 of 0 None";
    assert_eq!(shown(&all, None, 10).await, [none, design, free]);
    assert_eq!(shown(&all, None, 1).await, [none]);
    assert_eq!(shown(&all, Some(""), 1).await, [design]);
    assert_eq!(shown(&all, Some("design"), 5).await, [free]);
    let one = ClassStatsFilter { class: Some(id("free")), ..all.clone() };
    assert_eq!(shown(&one, None, 10).await, [free]);
    let early = ClassStatsFilter { until: Some(middle), ..all.clone() };
    let design = "design: 5 14.5/11 3 3 5, 2 of 5 Some([10000, 15000, 25000])";
    assert_eq!(shown(&early, None, 10).await, [none, design, free]);
    let late = ClassStatsFilter { from: Some(middle), class: Some(id("design")), ..all.clone() };
    let design = "design: 2 21.03/4 1.03 20 20, 1 of 1 Some([50000, 50000, 50000])";
    assert_eq!(shown(&late, None, 10).await, [design]);
    let nobody = ClassStatsFilter { ledger: LedgerNo::new(7).unwrap(), ..all };
    assert_eq!(shown(&nobody, None, 10).await, Vec::<String>::new());
}

async fn reads_of_large_postings_end_after_a_few_megabytes(mut rig: Rig) {
    const POSTINGS: u64 = 121;
    rig.new_customer("acme").await;
    let key = rig.key();
    // 32 pairs of the longest texts: 64 KiB.
    let text = |text: String| Text::parse(&text).unwrap();
    for nth in 1..POSTINGS {
        let pair = |pair| (text(format!("{nth:04}-{pair:04}-{:k<1014}", "")), text(format!("{:v<1024}", "")));
        let metadata = Some((0..32).map(pair).collect());
        let update = UpdateCustomer { metadata, ..UpdateCustomer::default() };
        rig.ok(Command::UpdateCustomer(update)).await;
    }
    // What is in memory anyway may be given whole.
    let most = if rig.is_in_memory() { usize::MAX } else { (READ_BYTES_MAX >> 16) + 1 };

    let (mut after, mut sequences, mut pages) = (Position(0), Vec::new(), 0);
    loop {
        let page = rig.reader.feed(LedgerNo::MAIN, after, 1_000).await.unwrap();
        assert_eq!(page, rig.audit.journal(LedgerNo::MAIN, after, 1_000).await.unwrap());
        assert!((1..=most).contains(&page.items.len()), "{} postings in a read", page.items.len());
        sequences.extend(page.items.iter().map(|recorded| recorded.posting.sequence));
        pages += 1;
        let Some(next) = page.next else { break };
        after = next;
    }
    assert_eq!(sequences, (1..=POSTINGS).collect::<Vec<_>>());
    assert!(pages > 3 || rig.is_in_memory(), "{pages} pages");

    let (mut first, mut sequences) = (1, Vec::new());
    loop {
        let page = rig.reader.postings_of(key, first, POSTINGS).await.unwrap();
        assert!((1..=most).contains(&page.items.len()), "{} postings in a read", page.items.len());
        sequences.extend(page.items.iter().map(|recorded| recorded.posting.sequence));
        let Some(read_to) = page.next else { break };
        first = read_to + 1;
    }
    assert_eq!(sequences, (1..=POSTINGS).collect::<Vec<_>>());

    // A customer's list reads in both directions, and its pages meet.
    let reader = Reader::new(rig.reader.clone(), rig.notifier.clone(), rig.cards.clone());
    for newest_first in [false, true] {
        let filter = PostingFilter { newest_first, ..PostingFilter::default() };
        let (mut token, mut sequences) = (String::new(), Vec::new());
        loop {
            let page = PageRequest { limit: 100, token };
            let listed = reader.postings(LedgerNo::MAIN, &rig.customer, &filter, &page).await.unwrap();
            let (shown, next) = listed.show(usize::MAX, |recorded| recorded.posting.sequence, |_| 1);
            sequences.extend(shown);
            if next.is_empty() {
                break;
            }
            token = next;
        }
        let mut expected: Vec<u64> = (1..=POSTINGS).collect();
        if newest_first {
            expected.reverse();
        }
        assert_eq!(sequences, expected);
    }
}
