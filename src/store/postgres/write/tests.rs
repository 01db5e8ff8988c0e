//! A lane whose connection was changed by a pooler.

use super::super::{open, test_server};
use super::*;

#[tokio::test]
async fn a_connection_that_leads_to_another_process_is_not_gone_on_with() {
    if !test_server::available() {
        return;
    }
    let address = Address::of(&test_server::database().await).unwrap().unwrap();
    let settings = Settings::default();
    open(address.clone(), Timestamp::default(), &settings).await.unwrap();
    let mut lane = PgWriter::new(Arc::new(address), settings, Arc::default(), Signals::new());
    let mut cards = Arc::new(Cards::none());
    let now = Timestamp::default();
    for _ in 0..2 {
        lane.load(&[], now, 1, &mut cards).await.unwrap();
        lane.abandon().await.unwrap();
    }
    // As if a pooler had given the second transaction another connection.
    lane.backend = lane.backend.map(|backend| backend + 1);
    let refused = lane.load(&[], now, 1, &mut cards).await;
    assert!(matches!(&refused, Err(StoreError::Unusable(line)) if line.contains("pooler")), "{refused:?}");
}
