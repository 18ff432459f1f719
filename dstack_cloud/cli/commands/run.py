"""`dstack run`: plans a workflow, sends the working folder, starts the run and follows it."""

from __future__ import annotations

import os
import shlex
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, NamedTuple

import typer

from dstack_cloud.cli import output, run_request, run_tables
from dstack_cloud.cli.application import AsJson, Detach, Yes, application, takes
from dstack_cloud.cli.failures import problem_line, say
from dstack_cloud.cli.run_words import Words, refuse_near_provider, refuse_unused
from dstack_cloud.cli.run_words import arrange as arrange
from dstack_cloud.cli.sources import read_any, read_sources
from dstack_cloud.client import Client
from dstack_cloud.domain.variables import as_options
from dstack_cloud.errors import DstackError, UsageError

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import (
        PlanView,
        ResumedView,
        RunRequest,
        RunView,
        SourceFile,
        VariableView,
        WorkflowView,
    )
    from dstack_cloud.cli.following import Watch
    from dstack_cloud.client.listing import Listing
    from dstack_cloud.client.snapshot import Snapshot

TAKES_REST = True

app = application()


Name = Annotated[
    str | None, typer.Argument(metavar="WORKFLOW|PROVIDER", help="Its name. Without: lists what there is.")
]
Args = Annotated[list[str] | None, typer.Argument(metavar="ARGS", help="What ${{ run.args }} stands for.")]
Tag = Annotated[str, typer.Option("-t", "--tag", metavar="TAG", show_default=False, help="A name for its outputs.")]
Env = Annotated[list[str] | None, typer.Option("-e", "--env", metavar="K[=V]", help="A variable for the job.")]
Backend = Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only there. May be repeated.")]
Spot = Annotated[bool | None, typer.Option("--spot/--on-demand", help="Which kind of instance.", show_default=False)]
MaxPrice = Annotated[float | None, typer.Option(min=0, metavar="USD", help="At most this much an hour.")]
Gpu = Annotated[str | None, typer.Option(metavar="GPU", help="Count, name or memory: 2, V100, V100:2, 16GB.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would run, and where.")]
Reuse = Annotated[
    bool | None,
    typer.Option(
        "--reuse/--no-reuse",
        help="Use unchanged outputs also of WORKFLOW itself, or of nothing. By default: of what it depends on.",
        show_default=False,
    ),
]
Rebuild = Annotated[bool, typer.Option("--rebuild", help="Make what `setup` makes anew, and keep that.")]
Reload = Annotated[
    bool, typer.Option("--reload", help="Send what changes in the working folder to the job while it runs.")
]
Force = Annotated[bool, typer.Option("--force", help="Even where the folder is your home.")]
ShowHelp = Annotated[bool, typer.Option("-h", "--help", help="Show this, or what WORKFLOW is.")]


class Options(NamedTuple):
    workflow: Name = None
    args: Args = None
    detach: Detach = False
    tag: Tag = ""
    env: Env = None
    backend: Backend = None
    spot: Spot = None
    max_price: MaxPrice = None
    gpu: Gpu = None
    dry_run: DryRun = False
    reuse: Reuse = None
    rebuild: Rebuild = False
    reload: Reload = False
    yes: Yes = False
    force: Force = False
    as_json: AsJson = False
    show_help: ShowHelp = False


@app.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@takes(Options)
def run(context: typer.Context, options: Options) -> None:
    """Run a workflow, or a provider without one, and follow it. The exit code is the job's own."""
    if options.show_help:
        _explain(context, options.workflow)
    elif options.workflow is None and context.obj.rest:
        raise UsageError("no workflow is named before `--`", "say `dstack run WORKFLOW -- ARGS`")
    elif options.workflow is None:
        _list(options.as_json)
    elif options.reuse and options.rebuild:
        raise UsageError("--reuse and --rebuild contradict each other", "say one of them")
    elif options.reload and options.reuse:
        raise UsageError("--reuse and --reload contradict each other", "what is reloaded isn't what ran before")
    elif options.reload and options.detach:
        raise UsageError(
            "--reload and --detach contradict each other", "changes are sent by the command that follows the run"
        )
    else:
        refuse_options([options.workflow, *(options.args or [])], context)
        raise typer.Exit(_run(Client(), make_request(options, context.obj), options))


def make_request(options: Options, words: Words) -> RunRequest:
    env = run_request.environment(options.env or [], os.environ)
    files, args = _files_and_args(options, words)
    return {
        "files": files,
        "workflow": options.workflow or "",
        "variables": dict(words.variables),
        "args": args,
        "env": env,
        "tag": options.tag,
        "overrides": run_request.overrides(options.backend, options.spot, options.max_price, options.gpu),
        "code": None,
        "local_python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "rebuild": options.rebuild,
        "reload": options.reload,
        "reuse": "deps" if options.reuse is None else "all" if options.reuse else "none",
    }


def _files_and_args(options: Options, words: Words) -> tuple[list[SourceFile], list[str]]:
    given = options.args or []
    if words.provider is None:
        refuse_near_provider(options.workflow or "")
        return read_sources(Path.cwd()), [*given, *words.rest]
    from dstack_cloud.cli import provider_words

    file, args = provider_words.workflow_file(words.provider, given, words.rest)
    return [*read_any(Path.cwd()), file], args


def refuse_options(words: list[str], context: typer.Context) -> None:
    known = [name[2:] for parameter in context.command.params for name in parameter.opts if name.startswith("--")]
    workflow = context.obj.workflow
    others = [variable["name"] for variable in workflow["variables"]] if workflow else []
    if context.obj.provider is not None:
        others = context.obj.provider.spellings
    run_request.refuse_misspelled(words, [*known, "on-demand", *others])
    if words[0].startswith("-"):
        raise UsageError(f"there is no option `{words[0]}`", "the workflow's name comes before what is meant for it")
    refuse_unused(words[1:], workflow, known)


def _run(client: Client, request: RunRequest, options: Options) -> int:
    plan = make_plan(client, request)
    if options.reload:
        _refuse_reload(plan)
    if options.dry_run:
        _show_plan(_complete_plan(client, request, plan), options.as_json)
        return 0
    sent = complete(client, request, plan, options)
    if options.reuse and (done := client.plan(request)["jobs"][-1]["reused"]):
        say(f"{request['workflow']} is unchanged: {done} is used again, and nothing runs")
    if options.detach:
        run = client.submit(request)
        if options.as_json:
            output.print_json(run)
        else:
            print(run["name"])
        return 0
    return _attach(client, request, options, sent)


def _refuse_reload(plan: PlanView) -> None:
    if (nodes := plan["jobs"][-1]["nodes"]) > 1:
        raise UsageError(
            f"--reload sends changes to one machine, and the workflow `{plan['workflow']}` runs on {nodes} nodes",
            "leave out --reload, or run it on one node",
        )


def make_plan(client: Client, request: RunRequest) -> PlanView:
    plan = client.plan(request)
    for warning in plan["warnings"]:
        output.warn(warning)
    return plan


def complete(client: Client, request: RunRequest, plan: PlanView, options: Options) -> Snapshot:
    """Adds what the plan asks for from here, and sends the working folder: the request can be submitted then."""
    _add_environment(request, plan)
    return _send_code(client, request, plan, options)


def _complete_plan(client: Client, request: RunRequest, plan: PlanView) -> PlanView:
    """With what is used again, where anything may be: the working folder is looked at, and stays here."""
    from dstack_cloud.client import listing, setups, snapshot

    alone = len(plan["jobs"]) == 1 and request.get("reuse") != "all"
    if alone and not plan["jobs"][0]["reads"] and not plan["jobs"][0]["setup"]:
        return plan
    folder = Path.cwd()
    if alone:
        found = listing.scan(folder, client.home)
        snapshot.check_there(found, _reads(plan))
        entries = found.entries
    else:
        taken = snapshot.take(folder, client.home, check=lambda found: snapshot.check_there(found, _reads(plan)))
        request["code"], request["contents"], entries = taken.view, taken.digests(plan["contents"]), taken.entries
    _add_environment(request, plan)
    request["setups"] = setups.named_files(plan["jobs"], folder, entries)
    return client.plan(request)


def _add_environment(request: RunRequest, plan: PlanView) -> None:
    needed = [name for name in plan["needs_env"] if name not in request["env"]]
    found, missing = run_request.wanted_here(needed, os.environ)
    for name in missing:
        if name in plan["secrets"]:
            continue  # the job gets the project's
        output.warn(f"{name} isn't set here, so the job doesn't get it (export it, or add -e {name}=VALUE)")
    request["env"] = found | request["env"]


def _send_code(client: Client, request: RunRequest, plan: PlanView, options: Options) -> Snapshot:
    from dstack_cloud.client import provenance, snapshot

    folder = Path.cwd()
    if not options.force:
        snapshot.check_folder(folder)
    snapshot.check_paths(folder, [path for job in plan["jobs"] for path in job["paths"]])
    taken = snapshot.store(
        client,
        folder,
        state_folder=client.home,
        check=lambda found: snapshot.check_there(found, _reads(plan)),
        approve=lambda listing: _approve(listing, yes=options.yes),
    )
    for warning in taken.warnings:
        output.warn(warning)
    request["code"], request["contents"] = taken.view, taken.digests(plan["contents"])
    request["git"] = provenance.look(folder)
    return taken


def _reads(plan: PlanView) -> dict[str, list[str]]:
    return {job["name"]: job["reads"] for job in plan["jobs"]}


def _approve(listing: Listing, *, yes: bool) -> None:
    if yes:
        return
    print(f"The working folder has {output.size(listing.size)}. The largest entries:", file=sys.stderr)
    rows = [[output.size(size), name] for name, size in listing.largest()]
    output.print_drawn(output.table(("SIZE>", "ENTRY"), rows), sys.stderr)
    output.confirm("Send all of it? (What .gitignore or .dstackignore names stays here.)", yes=False)


def _attach(client: Client, request: RunRequest, options: Options, sent: Snapshot) -> int:
    from dstack_cloud.cli.attached import tell_end

    log = sys.stderr.buffer if options.as_json else sys.stdout.buffer
    watch = _reloading(client, request, sent) if options.reload else lambda frames: frames
    ended = follow(client, request, log=log, quiet=options.as_json, watch=watch)
    code = tell_end(ended)
    if options.as_json:
        output.print_json(ended)
    return code


def _reloading(client: Client, request: RunRequest, sent: Snapshot) -> Watch:
    from dstack_cloud.cli.reloading import Reloading

    return Reloading(client, sent.folder, sent.entries, request["workflow"], say).watch


def follow(
    client: Client, request: RunRequest, *, log: BinaryIO, quiet: bool = False, watch: Watch = lambda frames: frames
) -> RunView:
    """Submits the run and shows it to its end; its log goes to `log`. What is shown passes through `watch`."""
    from dstack_cloud.cli.following import follow_started

    def submit() -> ResumedView:
        return {"run": client.submit(request), "logged": {}}

    return follow_started(client, submit, log=log, quiet=quiet, watch=watch)


def _show_plan(plan: PlanView, as_json: bool) -> None:
    if as_json:
        output.print_json(plan)
        return
    if plan["variables"]:
        print(f"variables: {as_options(plan['variables'])}")
    for job in plan["jobs"]:
        print(run_tables.planned_line(job))
        if job["reused"]:
            continue
        if job["setup"]:
            print(run_tables.setup_line(job["setup"]))
        rows = [
            [
                offer["backend"],
                offer["region"] or "-",
                offer["instance_type"],
                offer["resources"],
                "spot" if offer["spot"] else "on-demand",
                output.hourly(offer["price"]),
            ]
            for offer in job["offers"]
        ]
        output.print_drawn(output.table(("BACKEND", "REGION", "TYPE", "RESOURCES", "KIND", "PRICE>"), rows))
    if plan["secrets"]:
        print(f"secrets: {', '.join(plan['secrets'])}")
    print("nothing was started (--dry-run)")


def _list(as_json: bool) -> None:
    checked = Client().check(read_sources(Path.cwd()))
    if as_json:
        output.print_json(checked)
    else:
        _print_workflows(checked["workflows"])
        for problem in checked["problems"]:
            say(problem_line(problem))
    if checked["problems"]:
        raise typer.Exit(2)


def _print_workflows(workflows: list[WorkflowView]) -> None:
    rows = [[w["name"], w["provider"], w["help"] or "-", w["file"]] for w in workflows]
    output.print_drawn(output.table(("WORKFLOW", "PROVIDER", "HELP", "FILE"), rows))


def _explain(context: typer.Context, name: str | None) -> None:
    """`run -h`: the usage, the providers and the workflows that are here; `run NAME -h`: that one."""
    if name is None:
        print(context.get_help())
        _print_providers()
        try:
            workflows = Client().check(read_sources(Path.cwd()))["workflows"]
        except DstackError as error:
            print(f"\nNo workflows: {error.summary}.")
            return
        print("\nWorkflows here:")
        _print_workflows(workflows)
        return
    if context.obj.provider is not None:
        from dstack_cloud.cli import provider_help

        print(provider_help.page(name))
        return
    found = context.obj.workflow or Client().workflow(read_sources(Path.cwd()), name)
    print(f"{found['name']}: {found['help'] or 'no help given'}")
    _explain_provider(found["provider"])
    print(f"  defined   {found['file']}:{found['line']}")
    _explain_variables(found["variables"])
    args = " [ARGS]" if found["takes_args"] else ""
    print(f"\nUsage: dstack run {name} [OPTIONS]{args}  (`dstack run -h` lists dstack's own options)")


def _print_providers() -> None:
    from dstack_cloud.providers.registry import PROVIDERS

    print("\nProviders, which run without a workflow (`dstack run PROVIDER -h`):")
    print(textwrap.fill(", ".join(PROVIDERS), 78, initial_indent="  ", subsequent_indent="  "))


def _explain_variables(variables: list[VariableView]) -> None:
    if not variables:
        return
    print("\nVariables:")
    width = max(len(variable["name"]) for variable in variables)
    for variable in variables:
        note = " (global)" if variable["shared"] else ""
        told = f"{variable['help']}; " if variable["help"] else ""
        print(f"  --{variable['name']:<{width}}  {told}default is {shlex.quote(variable['default'])}{note}")


def _explain_provider(name: str) -> None:
    from dstack_cloud.providers.description import describe
    from dstack_cloud.providers.registry import PROVIDERS

    if name not in PROVIDERS:
        print(f"  provider  {name}")
        return
    described = describe(PROVIDERS[name])
    print(f"  provider  {name}: {described.summary}")
    for option, declared in described.options.items():
        print(f"    {option:<13} {declared.description}")
