use super::*;
use crate::feed::adopted::tests::{apply, following, purge, put};
use crate::feed::journal::Batch;
use crate::feed::journal::tests::told;
use crate::feed::keep::StateDirectory;
use api::id::EdgeId;
use std::sync::Arc;

/// A keeper that runs.
struct Scene {
    directory: tempfile::TempDir,
    unwritten: Arc<Unwritten>,
    kept: watch::Receiver<Adopted>,
    adopted: Adopted,
    task: JoinHandle<()>,
}

impl Scene {
    fn start(journal: impl FnOnce(&Path, &Adopted) -> Option<Journal>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let adopted = following();
        let journal = journal(directory.path(), &adopted);
        let keeper = Keeper::new(directory.path(), journal, adopted.clone());
        let (sender, kept) = watch::channel(Adopted::default());
        let unwritten = Arc::new(Unwritten::default());
        let shared = Arc::clone(&unwritten);
        let task = tokio::spawn(async move { keeper.run(&shared, &sender, |_| {}).await });
        Self { directory, unwritten, kept, adopted, task }
    }

    fn adopt(&mut self, seq: u64, text: &str) {
        apply(&mut self.adopted, text);
        let mut batch = Batch::default();
        batch.entry(seq, text);
        self.unwritten.append(self.adopted.clone(), &batch.finish());
    }

    async fn kept(&mut self) {
        let applied = self.adopted.applied;
        self.kept.wait_for(|kept| kept.applied == applied).await.unwrap();
    }

    /// Ends the keeper, and compares what a start finds.
    async fn check(self) {
        self.task.abort();
        self.task.await.ok();
        let id = || EdgeId::from_ulid("01J9Z3K8Q4W5E6R7T8Y9V0B1N2").unwrap();
        let state = StateDirectory::open(self.directory.path(), id).unwrap();
        assert_eq!(told(&state.load().unwrap().0), told(&self.adopted));
    }
}

#[tokio::test]
async fn what_is_adopted_is_kept_with_one_file_or_another() {
    let mut scene = Scene::start(|_, _| None);
    scene.adopt(2, &put(2, 'B', &["b.example"]));
    scene.kept().await;
    for seq in 3..40 {
        scene.adopt(seq, &purge(seq, 'B', &[]));
        if seq % 3 == 0 {
            scene.kept().await;
        }
    }
    scene.unwritten.replace(scene.adopted.clone());
    scene.adopt(40, &put(40, 'A', &["c.example"]));
    scene.kept().await;
    scene.check().await;
}

#[tokio::test]
async fn a_journal_that_has_grown_is_written_anew_while_it_is_appended_to() {
    let mut scene = Scene::start(|directory, adopted| {
        let mut journal = Journal::write_beside(directory, adopted).unwrap();
        journal.put_in_place(directory).unwrap();
        let mut batch = Batch::default();
        for seq in 2..9 {
            batch.entry(seq, &format!("{{\"kind\":\"{}\"}}", "x".repeat(3 << 20)));
        }
        journal.append(&batch.finish()).unwrap();
        assert!(journal.is_full());
        Some(journal)
    });
    let path = scene.directory.path().join("journal");
    let length = || std::fs::metadata(&path).unwrap().len();
    let mut seq = 9;
    scene.adopt(seq, &put(seq, 'B', &["b.example"]));
    while length() > 1 << 20 {
        seq += 1;
        scene.adopt(seq, &purge(seq, 'B', &[]));
        scene.kept().await;
    }
    scene.adopt(seq + 1, &put(seq + 1, 'A', &["c.example"]));
    scene.kept().await;
    scene.check().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_is_not_told_and_tried_again() {
    let mut scene = Scene::start(|_, _| None);
    let path = scene.directory.path().to_owned();
    std::fs::remove_dir(&path).unwrap();
    scene.adopt(2, &put(2, 'B', &["b.example"]));
    scene.adopt(3, &purge(3, 'B', &[]));
    let waiting = tokio::time::timeout(3 * RETRY, scene.kept()).await;
    assert!(waiting.is_err(), "it was told as kept");
    std::fs::create_dir(&path).unwrap();
    scene.kept().await;
    scene.check().await;
}

#[test]
fn a_flush_that_failed_makes_the_journal_unknown_and_a_full_disk_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let journal = || Journal::write_beside(directory.path(), &following()).unwrap();
    let (kept, result) = append(journal().broken(true), b"records");
    assert!(kept.is_none() && result.is_err(), "it can't be cut off");
    let (kept, result) = append(journal().broken(false), b"records");
    assert!(kept.is_none() && result.is_err());
    let (kept, result) = append(journal(), b"records");
    assert!(kept.is_some() && result.is_ok());
}

#[test]
fn what_waits_is_bounded() {
    let unwritten = Unwritten::default();
    for _ in 0..65 {
        unwritten.append(following(), &vec![0; 1 << 20]);
    }
    let waiting = unwritten.take();
    assert!(waiting.anew && waiting.records.is_empty() && waiting.state.is_some());
}
