//! What would mix two books, or serve half of one, is refused.

use super::*;

/// Until it is finished nobody but the same copy opens it.
pub async fn an_unfinished_copy_is_refused(from: Place, to: Place, other: Place) {
    fill(&from).await;
    assert_eq!(copy_some(&from, &to, 5, 2).await.unwrap(), None);
    let refusals = [
        open(&to.url, START, &Settings::default()).await.map(drop),
        open_to_read(&to.url).await.map(drop),
        open_to_check(&to.url).await.map(drop),
        migrate(&to.url).await,
    ];
    for refusal in refusals {
        let Err(StoreError::Unusable(message)) = refusal else { panic!("{refusal:?}") };
        assert!(message.contains("is an unfinished copy; run the same"), "{message}");
        // The same copy again is no way on where the source contradicts itself.
        assert!(message.contains("\"creditledger verify\" tells what is wrong with the source"), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
    assert!(refused(&to, &other).await.contains("is an unfinished copy"));
    copy(&from, &to).await.unwrap();
    open(&to.url, START, &Settings::default()).await.unwrap();
}

/// A target with a book of its own, even a small one.
pub async fn a_target_that_is_in_use_is_refused(from: Place, places: [Place; 4]) {
    fill(&from).await;
    let [posted, with_ledger, with_order, served] = places;
    let mut rig = Rig::open(&posted.url).await;
    rig.new_customer("acme").await;
    rig.writer.close().await.unwrap();
    drop(rig);
    let mut rig = Rig::open(&with_ledger.url).await;
    rig.new_ledger("other").await;
    rig.writer.close().await.unwrap();
    drop(rig);
    let mut rig = Rig::open(&with_order.url).await;
    fill_orders(&*rig.orders, 2..=2).await;
    rig.writer.close().await.unwrap();
    drop(rig);
    for to in [&posted, &with_ledger, &with_order] {
        let before = everything(&to.url).await;
        assert!(refused(&from, to).await.contains("the target is not empty"));
        assert_eq!(everything(&to.url).await, before);
    }
    // One that was only ever opened is empty: main gets the time of the source.
    let mut rig = Rig::open(&served.url).await;
    rig.writer.close().await.unwrap();
    drop(rig);
    copy(&from, &served).await.unwrap();
    assert_eq!(everything(&served.url).await, everything(&from.url).await);
    // What is finished is a database like any other.
    assert!(refused(&from, &served).await.contains("the target is not empty"));
    // While a server has either of them there is no copy.
    let rig = Rig::open(&served.url).await;
    assert!(refused(&from, &served).await.contains("another creditledger has"));
    // From PostgreSQL a snapshot is copied, so there its servers need not be kept out.
    let posted_is_told_first = served.is_postgres();
    let other = if posted_is_told_first { "the target is not empty" } else { "another creditledger has" };
    assert!(refused(&served, &posted).await.contains(other));
    drop(rig);
}

/// Another source with the same ledgers, with fewer, with less in them.
pub async fn an_unfinished_copy_of_another_source_is_refused(from: Place, to: Place, others: [Place; 3]) {
    fill(&from).await;
    assert_eq!(copy_some(&from, &to, 5, 3).await.unwrap(), None);
    let [same_names, only_main, empty] = others;
    fill(&same_names).await;
    let mut rig = Rig::open(&only_main.url).await;
    rig.new_customer("acme").await;
    rig.writer.close().await.unwrap();
    drop(rig);
    migrate(&empty.url).await.unwrap();
    let mut longer = Rig::open(&same_names.url).await;
    longer.new_customer("late").await;
    longer.writer.close().await.unwrap();
    drop(longer);
    for other in [&only_main, &empty] {
        assert!(refused(other, &to).await.contains("is an unfinished copy of another database: "));
    }
    // The same journal up to where the copy stands is the same source.
    copy(&same_names, &to).await.unwrap();
    assert_eq!(everything(&to.url).await, everything(&same_names.url).await);
}

/// An unfinished copy knows its source by what it copied last.
pub async fn a_source_with_another_journal_is_refused(from: Place, to: Place, other: Place) {
    for (place, customer) in [(&from, "acme"), (&other, "zeta")] {
        let mut rig = Rig::open(&place.url).await;
        rig.new_customer(customer).await;
        rig.ok(purchase("o1", "5")).await;
        rig.writer.close().await.unwrap();
    }
    assert_eq!(copy_some(&from, &to, 1, 1).await.unwrap(), None);
    let message = refused(&other, &to).await;
    assert!(
        message.ends_with("another database: ledger main has another posting at position 1"),
        "{message}"
    );
    copy(&from, &to).await.unwrap();
}

#[tokio::test]
async fn ends_that_cannot_be_are_refused() {
    let (from, to) = (Place::sqlite(), Place::sqlite());
    fill(&from).await;
    let path = from.path();
    let spelled = path.parent().unwrap().join("../").join(path.parent().unwrap().file_name().unwrap());
    let linked = to.path();
    std::os::unix::fs::symlink(&path, &linked).unwrap();
    for same in [
        from.url.clone(),
        from.url.replace("sqlite://", "sqlite:"),
        format!("sqlite://{}/test.db", spelled.display()),
        format!("sqlite://{}", linked.display()),
    ] {
        let message = check_urls(&from.url, &same).unwrap_err().to_string();
        assert_eq!(message, "--from and --to name the same database", "{same}");
    }
    for (from, to) in [("memory:", to.url.as_str()), (&from.url, "memory:")] {
        assert!(check_urls(from, to).unwrap_err().to_string().starts_with("memory: is gone"));
    }
    assert!(matches!(open_for_copy("memory:").await, Err(StoreError::Unusable(_))));
    assert!(check_urls("mysql://host/db", &from.url).is_err());
    let (missing, new) = (Place::sqlite(), Place::sqlite());
    assert!(refused(&missing, &new).await.contains("there is no database"));
    assert!(!missing.path().exists() && !new.path().exists());
}
