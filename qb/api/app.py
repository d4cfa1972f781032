"""The ASGI application: every route that is served, on one screen."""

from qb.api.addresses import networks
from qb.api.artifacts import Artifacts
from qb.api.asgi import Api
from qb.api.auth import Door, Responder, add_routes
from qb.api.dialogue import Questions, TaskMetrics
from qb.api.documentation import Documentation
from qb.api.errors import handle_errors
from qb.api.files import Downloads, Uploads
from qb.api.health import DashboardResource, HealthResource, ReadyResource, VersionResource
from qb.api.keys import AuditLog, Keys, Tokens
from qb.api.lifespan import Background, Lifespan
from qb.api.metrics import MetricsResource, metrics_key
from qb.api.nodes import DashboardStats, Heartbeats, Nodes, Polling, Registration
from qb.api.operations import TaskCleanup, Webhooks
from qb.api.output import SessionLogs, TaskOutput
from qb.api.provisioning import ProvisionRuns
from qb.api.requests import Requests
from qb.api.scheduling import Groups, Schedules, WhyResource
from qb.api.tasks import StatusReports, TaskEvents, Tasks
from qb.domain.times import Clock, utc_now
from qb.push.ansible import AnsibleTransport
from qb.push.ansible_play import dispatch_playbook, node_layout
from qb.push.dispatcher import Dispatcher
from qb.push.http import HttpTransport
from qb.push.policy import NodePolicy
from qb.push.transports import Transports
from qb.service.artifacts import Artifacts as ArtifactService
from qb.service.audit import Audit
from qb.service.blobs import Blobs
from qb.service.chronicle import Chronicle
from qb.service.collection import Collection
from qb.service.core import Core, Settings, publish_settings
from qb.service.deliveries import Deliveries
from qb.service.dispatch import Dispatch
from qb.service.files import Files
from qb.service.fleet import Fleet, load
from qb.service.gate import Gate
from qb.service.groups import Groups as GroupService
from qb.service.heartbeats import Heartbeats as HeartbeatService
from qb.service.housekeeping import Housekeeping
from qb.service.joining import RegistrationTokens
from qb.service.keys import Keys as KeyService
from qb.service.keys import apply_limits
from qb.service.node_admin import NodeAdmin
from qb.service.output import Output
from qb.service.provisioning import Provisioning
from qb.service.reports import Reports
from qb.service.retention import Retention
from qb.service.scheduler import Scheduler
from qb.service.schedules import Schedules as ScheduleService
from qb.service.scrape import Scraper
from qb.service.shortfalls import Shortfalls
from qb.service.tasks import Tasks as TaskService
from qb.service.transcripts import Transcripts
from qb.service.waiters import Waiters
from qb.service.webhooks import Webhooks as WebhookService


async def open_routes(core: Core, audit: Audit | None = None) -> tuple[dict[str, Responder], list[Background]]:
    """What answers each served row of qb.contract.routes, and what runs beside it; `add_routes` puts the guards up.

    The registry of nodes is read first, since the services share it.
    """
    audit = audit or Audit(core)
    registry, waiters = await load(core), Waiters()
    await publish_settings(core)
    await apply_limits(core)
    fleet, dispatch = Fleet(core, registry, waiters), Dispatch(core, registry, waiters)
    http = HttpTransport(NodePolicy(loopback=core.settings.loopback_nodes), core.settings.node_ca_file)
    layout = node_layout(core.settings.operations)
    transport = Transports(http, AnsibleTransport(core.settings.data_dir / "ansible", dispatch_playbook(), layout))
    task_service = TaskService(core, waiters)
    blobs = Blobs(core.settings.blobs, core.settings.quotas)
    blobs.open()
    files, collection = Files(core, registry, blobs), Collection(core, blobs)
    artifacts = Artifacts(ArtifactService(core, registry, blobs))
    output, logs = TaskOutput(core, task_service, Output(core, registry)), SessionLogs(Transcripts(core, registry))
    health, node = HealthResource(core), Nodes(fleet, NodeAdmin(core, registry, waiters))
    shortfalls = Shortfalls(core, registry)
    task = Tasks(task_service, shortfalls)
    metrics = MetricsResource(await Scraper.open(core, waiters), metrics_key(core.settings.operations.metrics_key_file))
    docs = Documentation()
    group, schedule = Groups(GroupService(core, waiters), shortfalls), Schedules(ScheduleService(core))
    key, token = Keys(KeyService(core)), Tokens(RegistrationTokens(core))
    question, metric = Questions(core), TaskMetrics(core)
    provision_run = ProvisionRuns(Provisioning(core))
    hooks, retention = WebhookService(core), Retention(core, collection)
    await hooks.load()
    webhook = Webhooks(hooks)
    served: dict[str, Responder] = {
        "register": Registration(core, fleet).on_post,
        "heartbeat": Heartbeats(HeartbeatService(core, registry, waiters)).on_post,
        "poll": Polling(dispatch).on_get,
        "report_status": StatusReports(Reports(core, registry, waiters)).on_post,
        "download_file": Downloads(files).on_get,
        "upload": Uploads(files).on_post,
        "put_artifact": artifacts.on_put,
        "list_artifacts": artifacts.on_get,
        "get_artifact": artifacts.on_get_one,
        "report_output": output.on_post,
        "task_output": output.on_get,
        "report_session": logs.on_post,
        "show_logs": logs.on_get,
        "ask_question": question.on_post,
        "list_questions": question.on_get,
        "show_question": question.on_get_one,
        "answer_question": question.on_post_answer,
        "log_metric": metric.on_post,
        "list_metrics": metric.on_get,
        "create_task": task.on_post,
        "list_tasks": task.on_get,
        "show_task": task.on_get_one,
        "cancel_task": task.on_delete_one,
        "retry_task": task.on_post_retry,
        "why_task": WhyResource(core, registry).on_get,
        "create_group": group.on_post,
        "list_groups": group.on_get,
        "show_group": group.on_get_one,
        "cancel_group": group.on_delete_one,
        "list_schedules": schedule.on_get,
        "show_schedule": schedule.on_get_one,
        "remove_schedule": schedule.on_delete_one,
        "task_events": TaskEvents(core, task_service).on_get,
        "list_nodes": node.on_get,
        "create_node": node.on_post,
        "show_node": node.on_get_one,
        "change_node": node.on_patch_one,
        "remove_node": node.on_delete_one,
        "rotate_node_key": node.on_post_rotate,
        "drain_node": node.on_post_drain,
        "resume_node": node.on_post_resume,
        "record_provision_run": provision_run.on_post,
        "list_provision_runs": provision_run.on_get,
        "show_provision_run": provision_run.on_get_one,
        "create_key": key.on_post,
        "list_keys": key.on_get,
        "audit_keys": AuditLog(audit).on_get,
        "show_key": key.on_get_one,
        "change_key": key.on_patch_one,
        "remove_key": key.on_delete_one,
        "rotate_key": key.on_post_rotate,
        "revoke_key": key.on_post_revoke,
        "create_token": token.on_post,
        "list_tokens": token.on_get,
        "remove_token": token.on_delete_one,
        "cleanup_tasks": TaskCleanup(retention).on_post,
        "create_webhook": webhook.on_post,
        "list_webhooks": webhook.on_get,
        "remove_webhook": webhook.on_delete_one,
        "health": health.on_get,
        "healthz": health.on_get,
        "readyz": ReadyResource(core).on_get,
        "version": VersionResource().on_get,
        "metrics": metrics.on_get,
        "openapi": docs.on_get_json,
        "docs": docs.on_get_page,
        "dashboard": DashboardResource(core).on_get,
        "dashboard_stats": DashboardStats(fleet).on_get,
    }

    docs.describe(served)

    async def end_polls() -> None:
        await core.stopping.wait()
        waiters.end_all()
        core.hub.publish_all()

    deliveries, chronicle = Deliveries(core, hooks).run, (await Chronicle.open(core)).run
    housekeeping = Housekeeping(core, audit)
    dispatcher = Dispatcher(core, registry, waiters, dispatch, transport)
    background = [Scheduler(core, registry, waiters).run, dispatcher.run, collection.run, housekeeping.run, end_polls]
    return served, [*background, retention.run, deliveries, chronicle]


def create_app(settings: Settings, *, clock: Clock = utc_now) -> Api:
    """The application of one data directory. Its lifespan opens and owns everything behind it."""
    app = Api()

    async def ready(core: Core) -> list[Background]:
        audit = Audit(core)
        served, background = await open_routes(core, audit)
        proxies = networks(settings.trusted_proxies)
        add_routes(app, served, Door(core.credentials, Gate(core), audit, proxies, settings.keyless_reports))
        return background

    app.lifespan = Lifespan(settings, clock, ready)
    app.add_middleware(app.lifespan)
    app.add_middleware(Requests(lambda: app.lifespan.core, every=settings.operations.log_requests))
    handle_errors(app)
    return app
