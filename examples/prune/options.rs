//! What `prune` and `quantize` are called with, and how they end.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::prelude::*;

use crate::images::{data, output};
use crate::svg::{Point, chart};

/// The options of both.
pub struct Options {
    pub count: Option<usize>,
    pub images: PathBuf,
    pub svg: PathBuf,
    pub json: bool,
}

impl Options {
    /// Reads the command line; `flag` takes what else may stand there, and tells whether it knows it. `None` asks for help.
    pub fn parse(svg: &str, mut flag: impl FnMut(&str) -> bool) -> Result<Option<Self>, lexopt::Error> {
        let mut options = Options { count: None, images: data(), svg: output(svg), json: false };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("count") => options.count = Some(parser.value()?.parse()?),
                Long("images") => options.images = parser.value()?.into(),
                Long("svg") => options.svg = parser.value()?.into(),
                Long("json") => options.json = true,
                Long("help") | Short('h') => return Ok(None),
                Long(name) if flag(name) => {}
                other => return Err(other.unexpected()),
            }
        }
        Ok(Some(options))
    }

    /// Draws the chart, and the folder that it lies in.
    pub fn draw(&self, whole: &Point<'_>, others: &[Point<'_>]) -> Result<(), Box<dyn Error>> {
        let folder = self.svg.parent().map_or(Ok(()), std::fs::create_dir_all);
        let drawn = folder.and_then(|()| std::fs::write(&self.svg, chart(whole, others)));
        drawn.map_err(|error| format!("{}: {error}", self.svg.display()))?;
        if !self.json {
            println!("chart: {}", self.svg.display());
        }
        Ok(())
    }
}

/// Runs a command with its options, or prints its help.
pub fn finish(
    options: Result<Option<Options>, lexopt::Error>,
    help: &str,
    run: impl FnOnce(&Options) -> Result<(), Box<dyn Error>>,
) -> ExitCode {
    env_logger::init();
    let result = match options {
        Ok(Some(options)) => run(&options),
        Ok(None) => {
            println!("{help}");
            Ok(())
        }
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
