"""The commands and their help; each does its work in a module of its own, imported when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.live import live
from engine.cli.options import (
    Account,
    DataFolder,
    Day,
    End,
    Faults,
    FaultSeed,
    Filters,
    Json,
    ParamsName,
    Replace,
    Root,
    SessionName,
    Set,
    Source,
    Start,
    Underlying,
    UserId,
)

app = typer.Typer(
    help="Research-to-live workbench for NSE index options.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
practice = typer.Typer(help="A practice exchange that speaks Kite Connect.", no_args_is_help=True)
app.add_typer(practice, name="practice")
login = typer.Typer(help="Log in to a broker for today.", no_args_is_help=True)
app.add_typer(login, name="login")
app.add_typer(live, name="live")
data = typer.Typer(
    help="The lake of trading days: import, land, list, check, simulate.", no_args_is_help=True
)
app.add_typer(data, name="data")


@app.command()
def demo(data_folder: DataFolder = None, as_json: Json = False) -> None:
    """Simulate a month of NIFTY option days, backtest it, write a report, rehearse one day live."""
    from engine.cli.backtesting import run_demo

    run_demo(data_folder, as_json)


@app.command()
def backtest(
    params: ParamsName = None,
    underlying: Underlying = None,
    start: Start = None,
    end: End = None,
    day: Day = None,
    source: Source = None,
    changes: Set = None,
    filters: Filters = None,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Days run side by side.")] = 2,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report here.")] = None,
    crosscheck: Annotated[
        bool, typer.Option(help="Replay the fills through vectorbt (takes seconds).")
    ] = False,
    data_folder: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Run the swing-break strategy over stored days; without dates, over all that the lake holds."""
    from engine.cli.backtesting import run_backtest

    run_backtest(
        name=params,
        underlying=underlying,
        start=start,
        end=end,
        day=day,
        source=source,
        changes=changes,
        filters=filters,
        threads=threads,
        report=report,
        crosscheck=crosscheck,
        data_folder=data_folder,
        as_json=as_json,
    )


@app.command()
def explain(
    day: Annotated[str, typer.Argument(metavar="DATE", help="Trading day, YYYY-MM-DD.")],
    contract: Annotated[
        str | None, typer.Argument(help="Symbol, or strike and type such as 25400CE.")
    ] = None,
    moment: Annotated[
        str | None, typer.Argument(metavar="[TIME]", help="Clock time HH:MM of the decision, IST.")
    ] = None,
    params: ParamsName = None,
    underlying: Underlying = None,
    source: Source = None,
    changes: Set = None,
    filters: Filters = None,
    data_folder: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Why this strike, why not that one: one day, one contract of it, one minute of it."""
    from engine.cli.explaining import run_explain

    run_explain(
        day=day,
        contract=contract,
        moment=moment,
        name=params,
        underlying=underlying,
        source=source,
        changes=changes,
        filters=filters,
        data_folder=data_folder,
        as_json=as_json,
    )


@app.command()
def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repetitions.")] = False, as_json: Json = False
) -> None:
    """Measure speed and memory against other engines, paired, in one run."""
    from engine.cli.backtesting import run_benchmark

    run_benchmark(quick, as_json)


@app.command()
def lab(
    port: Annotated[int, typer.Option(help="Port of the notebook server.")] = 8888,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
) -> None:
    """Open JupyterLab in this project."""
    from engine.cli.lab import run_lab

    run_lab(port, browser)


@data.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Parquet or CSV files.")],
    source: Annotated[
        str | None, typer.Option(help="Name to hold the bars under, e.g. the vendor's.")
    ] = None,
    underlying: Underlying = None,
    column_map: Annotated[
        Path | None, typer.Option("--map", help="YAML file that names the columns.")
    ] = None,
    replace: Replace = False,
    strict: Annotated[bool, typer.Option("--strict", help="Make any bad row an error.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Import what is left when too many rows are refused.")
    ] = False,
    data_folder: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Bring market data files into the lake; every refused row is counted with its reason."""
    from engine.cli.lake import run_import

    run_import(files, source, underlying, column_map, replace, strict, force, data_folder, as_json)


@data.command()
def land(
    account: Account = None,
    day: Day = None,
    underlying: Underlying = None,
    source: Annotated[str, typer.Option(help="Name to hold the bars under.")] = "recorded",
    replace: Replace = False,
    data_folder: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Bring a day that a session recorded on live prices into the lake; without --date the last one."""
    from engine.cli.landing import run_land

    run_land(account, day, underlying, source, replace, data_folder, as_json)


@data.command("list")
def list_(
    underlying: Underlying = None,
    source: Source = None,
    start: Start = None,
    end: End = None,
    days: Annotated[bool, typer.Option("--days", help="One line a day.")] = False,
    data_folder: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Show what the lake holds."""
    from engine.cli.lake import run_list

    run_list(underlying, source, start, end, days, data_folder, as_json)


@data.command()
def check(data_folder: DataFolder = None, as_json: Json = False) -> None:
    """Compare every stored day with its manifest, its label and the calendar; exit code 1 if something is wrong."""
    from engine.cli.lake import run_check

    run_check(data_folder, as_json)


@data.command()
def simulate(
    underlying: Underlying = "NIFTY",
    start: Start = None,
    end: End = None,
    day: Day = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another market.")] = 7,
    strikes: Annotated[int, typer.Option(min=1, max=60, help="Strikes on each side of ATM.")] = 10,
    data_folder: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Make simulated days where they are missing; they keep the label SIMULATED for ever."""
    from engine.cli.lake import run_simulate

    run_simulate(underlying or "NIFTY", start, end, day, seed, strikes, data_folder, as_json)


@app.command()
def rehearse(
    underlying: Underlying = None,
    day: Day = None,
    speed: Annotated[str, typer.Option(help="max, or so many times real time.")] = "max",
    latency_ms: Annotated[
        int, typer.Option(min=0, max=30_000, help="Delay of the exchange; the backtest takes the same.")
    ] = 0,
    params: ParamsName = None,
    changes: Set = None,
    filters: Filters = None,
    source: Source = None,
    faults: Faults = None,
    seed: FaultSeed = 0,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the rehearsal's folder when all is well.")
    ] = False,
    data_folder: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Trade a stored or simulated day through the live session at a practice exchange, and compare with the backtest."""
    from engine.cli.rehearsing import run_rehearse

    run_rehearse(
        name=params,
        underlying=underlying,
        day=day,
        source=source,
        changes=changes,
        filters=filters,
        speed=speed,
        latency_ms=latency_ms,
        faults=faults,
        seed=seed,
        keep=keep,
        data_folder=data_folder,
        as_json=as_json,
    )


@practice.command()
def serve(
    underlying: Underlying = None,
    day: Day = None,
    source: Source = None,
    speed: Annotated[str, typer.Option(help="1, 60, ... times real time; max; or manual.")] = "1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    start_at: Annotated[str | None, typer.Option(help="Clock time HH:MM at which the market starts.")] = None,
    participants: Annotated[
        int,
        typer.Option(
            min=0, help="Sessions that must follow: at max every moment, else before time begins to flow."
        ),
    ] = 0,
    wait: Annotated[
        bool,
        typer.Option(
            help="Wait for the first subscriber, at speed max or with --participants; else start at once."
        ),
    ] = True,
    match: Annotated[str, typer.Option(help="bars: the backtest's bar path; quotes: bid and ask.")] = "bars",
    bar_path: Annotated[str, typer.Option(help="Order of a bar's four prices.")] = "worst",
    slippage: Annotated[str, typer.Option(help="Rupees per fill.")] = "0",
    slippage_percent: Annotated[str, typer.Option(help="Percent of the price, per fill, beside it.")] = "0",
    delay_ms: Annotated[int, typer.Option(min=0, help="Delay of the exchange, milliseconds.")] = 0,
    cash: Annotated[int, typer.Option(min=0, help="Rupees in the account.")] = 50_000_000,
    faults: Faults = None,
    seed: FaultSeed = 0,
    order_limits: Annotated[bool, typer.Option(help="Enforce the order rate limits.")] = True,
    redirect_url: Annotated[
        str | None, typer.Option(help="Where the login page sends the request token.")
    ] = None,
    postback_url: Annotated[str | None, typer.Option(help="Where order updates are posted.")] = None,
    journal: Annotated[
        Path | None, typer.Option(help="File that lets the exchange survive its own death.")
    ] = None,
    linger: Annotated[bool, typer.Option(help="Stay up when the day is over.")] = False,
    data_folder: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Play a stored day as an exchange one can log in to with the official Kite client."""
    from engine.cli.practice import run_serve

    run_serve(
        underlying=underlying,
        day=day,
        source=source,
        speed=speed,
        port=port,
        start_at=start_at,
        participants=participants,
        wait=wait,
        match=match,
        bar_path=bar_path,
        slippage=slippage,
        slippage_percent=slippage_percent,
        delay_ms=delay_ms,
        cash=cash,
        faults=faults,
        seed=seed,
        order_limits=order_limits,
        redirect_url=redirect_url,
        postback_url=postback_url,
        journal=journal,
        linger=linger,
        data_folder=data_folder,
        as_json=as_json,
    )


@app.command("check")
def check_session(
    session: SessionName = "paper",
    changes: Set = None,
    root: Root = None,
    account: UserId = None,
    day: Day = None,
    data_folder: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Look at everything a live session needs before it starts; exit code 1 if something fails."""
    from engine.cli.check import run_check

    run_check(session, changes, root, account, day, data_folder, as_json)


@app.command()
def faults(
    seeds: Annotated[int, typer.Option(min=1, help="How many histories.")] = 200,
    first: Annotated[int, typer.Option(min=0, help="Seed of the first.")] = 0,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 2,
    verbose: Annotated[
        bool, typer.Option(help="Print everything that happens; for a seed or a few.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Play the live session through faults of every kind, one history for each seed; exit code 1 on a violation."""
    from engine.cli.faulting import run_faults

    run_faults(seeds=seeds, first=first, workers=workers, verbose=verbose, as_json=as_json)


@login.command()
def kite(
    request_token: Annotated[
        str | None, typer.Option(help="From the address the login page led to; else it is asked for.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the login page in a browser.")] = True,
    root: Root = None,
    redirect_url: Annotated[
        str | None,
        typer.Option(
            envvar="KITE_REDIRECT_URL", help="The app's redirect URL; on 127.0.0.1 it is listened to."
        ),
    ] = None,
    env_file: Annotated[
        Path | None, typer.Option(help="File that holds the secrets.", show_default=".env")
    ] = None,
    wait: Annotated[float, typer.Option(min=1, help="Seconds to wait for the browser.")] = 300.0,
    data_folder: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Log in to Kite for today, or with --root to a practice exchange; the token goes into .env with mode 600."""
    from engine.cli.login import run_login

    run_login(request_token, browser, root, redirect_url, env_file, wait, data_folder, as_json)
