//! A report for CI systems.

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::{CheckGroup, Outcome, Report, ReportError};
use crate::shown::escape;

impl Report {
    /// The report as JUnit XML, one suite for each group. What could not be checked is an error.
    ///
    /// # Errors
    /// [`ReportError::Junit`] when it cannot be put into XML.
    pub fn to_junit(&self) -> Result<String, ReportError> {
        let mut report = quick_junit::Report::new(escape(&self.image.to_string_lossy()));
        for group in CheckGroup::ALL {
            let mut suite = TestSuite::new(group.name());
            if group == CheckGroup::Image {
                let facts = self.facts.iter().map(|(name, value)| (*name, value));
                let warnings = self.warnings.iter().map(|warning| ("Warning", warning));
                suite.add_properties(
                    facts.chain(warnings).map(|(name, value)| (name.to_owned(), escape(value))),
                );
            }
            for result in self.of_group(group) {
                let status = match &result.outcome {
                    Outcome::Passed => TestCaseStatus::success(),
                    Outcome::Failed { found } => failure(NonSuccessKind::Failure, found),
                    Outcome::NotChecked { reason } => failure(NonSuccessKind::Error, reason),
                };
                let mut status = status;
                let hints: Vec<_> = [("why", &result.why), ("fix", &result.fix)]
                    .into_iter()
                    .filter_map(|(word, text)| Some(format!("{word}: {}", escape(text.as_ref()?))))
                    .collect();
                if !result.passed() && !hints.is_empty() {
                    status.set_description(hints.join("\n"));
                }
                let mut case = TestCase::new(escape(&result.title), status);
                case.set_classname(group.name());
                suite.add_test_case(case);
            }
            if !suite.test_cases.is_empty() {
                report.add_test_suite(suite);
            }
        }
        Ok(report.to_string()?)
    }
}

fn failure(kind: NonSuccessKind, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(escape(message));
    status
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::Path;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::os::ReadError;
    use crate::report::CheckResult;

    #[test]
    fn facts_and_warnings_are_properties_of_the_image() {
        let mut report = Report::new(Path::new("image.qcow2"));
        report.facts.push(("Guest agent", "none found".to_owned()));
        report.warnings.push("slow".to_owned());
        report.results.push(CheckResult::new(CheckGroup::Sealing, "sealed", Ok::<_, ReadError>(None)));
        assert!(!report.to_junit().unwrap().contains("<property"), "they belong to the suite of the image");
        report.results.push(CheckResult::new(CheckGroup::Image, "good", Ok::<_, ReadError>(None)));
        let xml = report.to_junit().unwrap();
        for (name, value) in [("Guest agent", "none found"), ("Warning", "slow")] {
            assert!(xml.contains(&format!("<property name=\"{name}\" value=\"{value}\"/>")), "{xml}");
        }
    }

    /// Expat is the judge.
    #[test]
    fn names_from_an_image_make_no_broken_xml() {
        let evil = "\0\u{1}\u{7f}\u{85}\u{202e}\u{2028}\u{feff}\u{fffe}\u{ffff}\u{1ffff}]]><a b='\"'>&";
        let mut report = Report::new(Path::new(evil));
        let result = CheckResult::new(CheckGroup::Recipe, evil, Ok::<_, ReadError>(Some(evil.to_owned())));
        report.results.push(result.why(evil).fix(evil));
        let error = ReadError::malformed(evil, evil);
        report.results.push(CheckResult::new(CheckGroup::Image, evil, Err(error)));
        let parse = "import sys; from xml.parsers import expat; expat.ParserCreate().Parse(sys.stdin.buffer.read(), True)";
        let mut python = Command::new("python3").args(["-c", parse]).stdin(Stdio::piped()).spawn().unwrap();
        let xml = report.to_junit().unwrap();
        python.stdin.take().unwrap().write_all(xml.as_bytes()).unwrap();
        assert!(python.wait().unwrap().success(), "{xml}");
    }
}
