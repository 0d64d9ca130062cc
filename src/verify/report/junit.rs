//! A report for CI systems.

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::{CheckGroup, Outcome, Report};
use crate::verify::VerifyError;

impl Report {
    /// The report as JUnit XML, one suite for each group. What could not be checked is an error.
    ///
    /// # Errors
    /// [`VerifyError::Write`] when it cannot be put into XML.
    pub fn to_junit(&self) -> Result<String, VerifyError> {
        let mut report = quick_junit::Report::new(self.image.to_string_lossy());
        for group in CheckGroup::ALL {
            let mut suite = TestSuite::new(group.name());
            for result in self.of_group(group) {
                let status = match &result.outcome {
                    Outcome::Passed => TestCaseStatus::success(),
                    Outcome::Failed { found } => failure(NonSuccessKind::Failure, found),
                    Outcome::NotChecked { reason } => failure(NonSuccessKind::Error, reason),
                };
                let mut status = status;
                let hints: Vec<_> = [("why", &result.why), ("fix", &result.fix)]
                    .into_iter()
                    .filter_map(|(word, text)| Some(format!("{word}: {}", text.as_ref()?)))
                    .collect();
                if !result.passed() && !hints.is_empty() {
                    status.set_description(hints.join("\n"));
                }
                let mut case = TestCase::new(result.title.as_str(), status);
                case.set_classname(group.name());
                suite.add_test_case(case);
            }
            if !suite.test_cases.is_empty() {
                report.add_test_suite(suite);
            }
        }
        report.to_string().map_err(|error| VerifyError::Write {
            what: "the JUnit report",
            source: std::io::Error::other(error),
        })
    }
}

fn failure(kind: NonSuccessKind, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message);
    status
}
