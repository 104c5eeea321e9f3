-- Enqueueing a build in the caller's transaction.

CREATE TYPE enqueued_build AS (
    build_id uuid, job_id uuid, workspace_id uuid, build_number integer, queue text
);

CREATE FUNCTION locked_workspace(wanted uuid) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    workspace record;
BEGIN
    SELECT id, owner_id, organization_id, template_id, name, deleted INTO workspace
    FROM workspaces WHERE id = wanted
    FOR UPDATE;
    IF workspace.id IS NULL THEN
        PERFORM refuse('PVN01', format('there is no workspace %s', wanted));
    ELSIF workspace.deleted THEN
        PERFORM refuse('PVN01', format('workspace ''%s'' was deleted', workspace.name));
    END IF;
    RETURN to_jsonb(workspace);
END $$;

-- Let transactions of one owner count one after the other.
CREATE FUNCTION check_builds(owner uuid, allowed bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF allowed IS NULL OR owner = 'c42fdf75-3097-471c-8c33-fb52454d81c0' THEN RETURN; END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('limits of ' || owner, 0));
    IF (SELECT count(*) FROM provisioner_jobs
        WHERE owner_id = owner AND completed_at IS NULL AND type = 'workspace_build') >= allowed
    THEN
        PERFORM refuse('PVC06', format('the owner has %s unfinished builds, which is the limit;'
                ' wait for one to end, or cancel one', allowed),
            jsonb_build_object('limit', 'builds_per_owner', 'allowed', allowed));
    END IF;
END $$;

-- Whether the initiator may start any version, as an admin of templates.
CREATE FUNCTION is_template_admin(initiator uuid, organization uuid) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT
        FROM users
        LEFT JOIN organization_members AS member
               ON member.user_id = users.id AND member.organization_id = organization
        WHERE users.id = initiator
          AND (users.rbac_roles && ARRAY['owner', 'template-admin']
               OR member.roles && ARRAY['organization-admin', 'organization-template-admin']))
$$;

-- Refuse a version that cannot be built from. Args: version has template_id, template_name, and
-- of the version, NULL where there is none: version_id, version_name, version_template_id,
-- import_id, import_status, import_error.
CREATE FUNCTION check_version(version jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    status CONSTANT text := version ->> 'import_status';
BEGIN
    IF version ->> 'version_id' IS NULL THEN
        PERFORM refuse('PVN01', format('template ''%s'' has no version that can be built',
            version ->> 'template_name'));
    ELSIF version ->> 'version_template_id' IS DISTINCT FROM version ->> 'template_id' THEN
        PERFORM refuse('PVC01', 'template version doesn''t match template');
    ELSIF status IN ('pending', 'running') THEN
        PERFORM refuse('PVC03', format('The provided template version is %s. Wait for it to'
                ' complete importing!', status),
            jsonb_build_object('job_id', version -> 'import_id', 'status', status));
    ELSIF status IS DISTINCT FROM 'succeeded' THEN
        PERFORM refuse('PVC01', format('The provided template version "%s" has failed to import:'
            ' "%s". You cannot build workspaces with it!', version ->> 'version_name',
            version ->> 'import_error'));
    END IF;
END $$;

-- The version of a template to build from if nobody has chosen one and no version is active: the
-- newest one, if it says why it is not.
CREATE FUNCTION unusable_version(template uuid) RETURNS uuid
LANGUAGE sql STABLE AS $$
    SELECT newest.id
    FROM template_versions AS newest
    JOIN provisioner_jobs AS its_import ON its_import.id = newest.job_id
    WHERE newest.template_id = template AND its_import.job_status <> 'succeeded'
    ORDER BY newest.created_at DESC
    LIMIT 1
$$;

-- The version of a template to build from: the given one, or else the active one.
CREATE FUNCTION usable_version(template uuid, wanted uuid) RETURNS uuid
LANGUAGE plpgsql
SET search_path = @search_path@
AS $$
DECLARE
    version jsonb;
BEGIN
    SELECT to_jsonb(read) INTO version
    FROM (
        SELECT templates.id AS template_id,
               templates.name AS template_name,
               chosen.id AS version_id,
               chosen.name AS version_name,
               chosen.template_id AS version_template_id,
               its_import.id AS import_id,
               its_import.job_status AS import_status,
               its_import.error AS import_error
        FROM templates
        LEFT JOIN template_versions AS chosen
            ON chosen.id = coalesce(
                wanted, templates.active_version_id, unusable_version(template))
        LEFT JOIN provisioner_jobs AS its_import ON its_import.id = chosen.job_id
        WHERE templates.id = template
    ) AS read;
    PERFORM check_version(version);
    RETURN (version ->> 'version_id')::uuid;
END $$;

-- What a new build is made from: the build before, the template version and what it declares.
--
-- A build takes its version and values from the last build that entered apply, because the existing
-- resources were made from them. A later build that failed before apply made nothing, so it does
-- not count. If no build has entered apply, the values of the latest build are used.
--
-- The fair rank is the number of the owner's unfinished builds: a user's nth build waits behind the
-- (n-1)th builds of all users. They are counted up to 1000; beyond it their order does not matter.
CREATE FUNCTION build_source(workspace jsonb, request jsonb) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = @search_path@
AS $$
DECLARE
    wanted CONSTANT uuid := request ->> 'template_version_id';
    is_start CONSTANT boolean := request ->> 'transition' = 'start';
    owner CONSTANT uuid := workspace ->> 'owner_id';
    asked_by CONSTANT uuid := coalesce(request ->> 'initiator_id', workspace ->> 'owner_id');
    source jsonb;
BEGIN
    SELECT to_jsonb(read) INTO source
    FROM (
        SELECT previous.id AS previous_id,
               coalesce(previous.build_number, 0) + 1 AS build_number,
               coalesce(applied.id, previous.id) AS values_from,
               previous_job.completed_at IS NULL AND previous.id IS NOT NULL AS is_building,
               template.id AS template_id,
               template.name AS template_name,
               version.id AS version_id,
               version.name AS version_name,
               version.template_id AS version_template_id,
               template.require_active_version
                   AND template.active_version_id IS DISTINCT FROM version.id
                   AND is_start
                   AND NOT is_template_admin(asked_by, template.organization_id) AS is_refused,
               its_import.id AS import_id,
               its_import.job_status AS import_status,
               its_import.error AS import_error,
               its_import.file_id,
               its_import.provisioner,
               its_import.tags,
               previous_job.tags AS previous_tags,
               (SELECT coalesce(jsonb_object_agg(tag.key, tag.value), '{}')
                FROM template_version_workspace_tags AS tag
                WHERE tag.template_version_id = version.id) AS tag_expressions,
               (SELECT coalesce(jsonb_object_agg(
                           variable.name, coalesce(variable.value, variable.default_value)), '{}')
                FROM template_version_variables AS variable
                WHERE variable.template_version_id = version.id) AS variables,
               -- A version without an import has no stored declarations.
               CASE WHEN EXISTS (
                   SELECT FROM template_version_terraform_values AS imported
                   WHERE imported.template_version_id = version.id
               ) THEN (
                   SELECT coalesce(
                       jsonb_agg(declared ORDER BY declared.display_order, declared.name), '[]')
                   FROM template_version_parameters AS declared
                   WHERE declared.template_version_id = version.id
               ) END AS declared,
               (SELECT coalesce(jsonb_agg(jsonb_build_object(
                           'id', preset.id,
                           'name', preset.name,
                           'values', (
                               SELECT coalesce(jsonb_object_agg(chosen.name, chosen.value), '{}')
                               FROM template_version_preset_parameters AS chosen
                               WHERE chosen.template_version_preset_id = preset.id))
                       ORDER BY preset.name), '[]')
                FROM template_version_presets AS preset
                WHERE preset.template_version_id = version.id) AS presets,
               (SELECT coalesce(jsonb_object_agg(earlier.name, earlier.value), '{}')
                FROM workspace_build_parameters AS earlier
                WHERE earlier.workspace_build_id = coalesce(applied.id, previous.id)
               ) AS previous_values,
               (SELECT count(*) FROM (
                    SELECT FROM provisioner_jobs
                    WHERE owner_id = owner AND completed_at IS NULL
                    LIMIT 1000
                ) AS unfinished) AS fair_rank,
               its_owner.username AS owner_name,
               its_owner.status AS owner_status,
               its_owner.deleted AS is_owner_deleted,
               (SELECT allowed FROM limits WHERE name = 'builds_per_owner') AS builds_allowed
        FROM templates AS template
        JOIN users AS its_owner ON its_owner.id = owner
        LEFT JOIN latest_workspace_builds AS previous
               ON previous.workspace_id = (workspace ->> 'id')::uuid
        LEFT JOIN provisioner_jobs AS previous_job ON previous_job.id = previous.job_id
        LEFT JOIN LATERAL (
            SELECT id, template_version_id
            FROM applied_workspace_builds
            WHERE workspace_id = (workspace ->> 'id')::uuid
            ORDER BY applied_workspace_builds.build_number DESC
            LIMIT 1
        ) AS applied ON true
        LEFT JOIN template_versions AS version
            ON version.id = coalesce(
                wanted,
                CASE WHEN is_start AND template.require_active_version
                     THEN template.active_version_id END,
                applied.template_version_id, template.active_version_id,
                unusable_version(template.id))
        LEFT JOIN provisioner_jobs AS its_import ON its_import.id = version.job_id
        WHERE template.id = (workspace ->> 'template_id')::uuid
    ) AS read;
    IF (source -> 'is_building')::boolean THEN
        PERFORM refuse('PVC02', 'A workspace build is already active.');
    END IF;
    PERFORM check_version(source);
    IF (source -> 'is_refused')::boolean THEN
        PERFORM refuse('PVC04', 'cannot use non-active version: the template requires the active'
            ' one; start the workspace with --update');
    END IF;
    RETURN source;
END $$;

CREATE FUNCTION check_owner(source jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    status CONSTANT text := CASE WHEN (source -> 'is_owner_deleted')::boolean THEN 'deleted'
                                 ELSE source ->> 'owner_status' END;
BEGIN
    IF status <> 'active' THEN
        PERFORM refuse('PVC05',
            format('user ''%s'' is %s and cannot build', source ->> 'owner_name', status),
            jsonb_build_object('username', source -> 'owner_name', 'status', status));
    END IF;
END $$;

-- Lock the workspace of a request, and read what its build is made from.
CREATE FUNCTION begin_build(request jsonb) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = @search_path@
AS $$
DECLARE
    workspace CONSTANT jsonb := locked_workspace((request ->> 'workspace_id')::uuid);
    source CONSTANT jsonb := build_source(workspace, request);
BEGIN
    IF request ->> 'transition' = 'start' THEN
        PERFORM check_owner(source);
        PERFORM check_builds((workspace ->> 'owner_id')::uuid,
                             (source ->> 'builds_allowed')::bigint);
    END IF;
    RETURN source || jsonb_build_object('workspace', workspace);
END $$;

-- Choose the values and the tags of a request's build; both are added to its source.
CREATE FUNCTION decide_build(request jsonb, source jsonb) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = @search_path@
AS $$
DECLARE
    transition CONSTANT text := request ->> 'transition';
    chosen CONSTANT jsonb := chosen_values(
        source, transition, request -> 'parameters', request ->> 'preset');
BEGIN
    RETURN source || chosen || jsonb_build_object('tags', build_tags(
        source, chosen -> 'values', transition, (source -> 'workspace' ->> 'owner_id')::uuid));
END $$;

-- Insert the job and the build. The previous state is copied, and never leaves the server.
CREATE FUNCTION insert_build(
    build_id uuid, request jsonb, decided jsonb, stored_values jsonb
) RETURNS enqueued_build
LANGUAGE plpgsql
SET search_path = @search_path@
AS $$
DECLARE
    workspace CONSTANT jsonb := decided -> 'workspace';
    asked_by CONSTANT uuid := coalesce(request ->> 'initiator_id', workspace ->> 'owner_id');
    result enqueued_build;
    violated text;
BEGIN
    result := (build_id, gen_random_uuid(), (workspace ->> 'id')::uuid,
               (decided ->> 'build_number')::integer, queue_of(decided -> 'tags'));
    INSERT INTO provisioner_jobs
        (id, organization_id, initiator_id, provisioner, file_id, type, input, tags,
         trace_metadata, workspace_id, owner_id, queue, priority, fair_rank)
    VALUES
        (result.job_id, (workspace ->> 'organization_id')::uuid, asked_by,
         (decided ->> 'provisioner')::provisioner_type, (decided ->> 'file_id')::uuid,
         'workspace_build', jsonb_build_object('workspace_build_id', result.build_id),
         decided -> 'tags', nullif(request -> 'trace_metadata', 'null'), result.workspace_id,
         (workspace ->> 'owner_id')::uuid, result.queue,
         CASE WHEN asked_by = 'c42fdf75-3097-471c-8c33-fb52454d81c0' THEN 10 ELSE 0 END,
         (decided ->> 'fair_rank')::integer);
    INSERT INTO workspace_builds
        (id, workspace_id, template_version_id, build_number, transition, initiator_id,
         job_id, reason, template_version_preset_id, provisioner_state, state_lineage,
         state_serial)
    SELECT result.build_id, result.workspace_id, (decided ->> 'version_id')::uuid,
           result.build_number, (request ->> 'transition')::workspace_transition, asked_by,
           result.job_id, (request ->> 'reason')::build_reason, (decided ->> 'preset_id')::uuid,
           previous.provisioner_state, previous.state_lineage, previous.state_serial
    FROM (SELECT) AS one
    LEFT JOIN workspace_builds AS previous ON previous.id = (decided ->> 'previous_id')::uuid;
    INSERT INTO workspace_build_parameters (workspace_build_id, name, value)
    SELECT result.build_id, name, value
    FROM jsonb_each_text(stored_values) AS every (name, value)
    UNION ALL
    SELECT result.build_id, earlier.name, earlier.value
    FROM workspace_build_parameters AS earlier
    WHERE earlier.workspace_build_id = (decided ->> 'others_from')::uuid
      AND NOT stored_values ? earlier.name;
    RETURN result;
EXCEPTION WHEN unique_violation THEN
    -- The lock of the workspace prevents this for all who enqueue by these functions; the index is
    -- for the others.
    GET STACKED DIAGNOSTICS violated := CONSTRAINT_NAME;
    IF violated = 'uq_provisioner_jobs_active_workspace' THEN
        PERFORM refuse('PVC02', 'A workspace build is already active.');
    END IF;
    RAISE;
END $$;

-- A request from outside, checked.
CREATE FUNCTION checked_request(
    workspace_id uuid, transition text, parameters jsonb, preset text, initiator_id uuid,
    template_version_id uuid, reason text, trace_metadata jsonb
) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
    IF workspace_id IS NULL THEN
        PERFORM refuse('PVI01', 'workspace_id must be a UUID, not NULL');
    ELSIF (transition IN ('start', 'stop', 'delete')) IS NOT TRUE THEN
        PERFORM refuse('PVI01', format('transition must be one of start, stop, delete, not %s',
            quote_nullable(transition)));
    ELSIF (reason = ANY (enum_range(NULL::build_reason)::text[])) IS NOT TRUE THEN
        PERFORM refuse('PVI01', format('reason must be one of %s, not %s',
            array_to_string(enum_range(NULL::build_reason), ', '), quote_nullable(reason)));
    ELSIF jsonb_typeof(coalesce(parameters, '{}')) <> 'object' OR jsonb_path_exists(
            parameters, '$.* ? (@.type() <> "string")') THEN
        PERFORM refuse('PVI01', 'parameters must be a mapping from texts to texts');
    ELSIF jsonb_typeof(trace_metadata) NOT IN ('object', 'null') THEN
        PERFORM refuse('PVI01', 'trace_metadata must be an object');
    END IF;
    RETURN jsonb_build_object(
        'workspace_id', workspace_id, 'transition', transition,
        'parameters', coalesce(parameters, '{}'), 'preset', preset,
        'initiator_id', initiator_id, 'template_version_id', template_version_id,
        'reason', reason, 'trace_metadata', trace_metadata);
END $$;

-- Enqueue a build of the workspace in the caller's transaction, and tell those who listen for it
-- when it commits.
CREATE FUNCTION enqueue_build(
    workspace_id uuid,
    transition text,
    parameters jsonb DEFAULT '{}',
    preset text DEFAULT NULL,
    initiator_id uuid DEFAULT NULL,
    template_version_id uuid DEFAULT NULL,
    reason text DEFAULT 'initiator',
    trace_metadata jsonb DEFAULT NULL,
    notify boolean DEFAULT true
) RETURNS enqueued_build
LANGUAGE plpgsql
SET search_path = @search_path@
SECURITY DEFINER
AS $$
DECLARE
    request CONSTANT jsonb := checked_request(workspace_id, transition, parameters, preset,
        initiator_id, template_version_id, reason, trace_metadata);
    decided CONSTANT jsonb := decide_build(request, begin_build(request));
    result enqueued_build;
BEGIN
    result := insert_build(gen_random_uuid(), request, decided, decided -> 'values');
    IF notify THEN PERFORM pg_notify('provisionerd_queues', result.queue); END IF;
    RETURN result;
END $$;
