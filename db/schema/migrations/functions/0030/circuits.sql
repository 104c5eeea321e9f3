-- Circuits: starts of a template version that keeps failing are refused for a while.

-- Whether nobody waits for a build: the prebuilds user or a schedule asked for it.
CREATE FUNCTION is_automatic(initiator uuid, reason text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT initiator = 'c42fdf75-3097-471c-8c33-fb52454d81c0'
        OR reason IN ('autostart', 'autostop', 'dormancy', 'autodelete', 'task_auto_pause')
$$;

-- How many starts in a row may fail before more of their kind are refused. NULL: any number.
CREATE FUNCTION failures_allowed(automatic boolean) RETURNS integer
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN changed.name IS NOT NULL THEN changed.allowed WHEN automatic THEN 5 END
    FROM (SELECT) AS one
    LEFT JOIN limits AS changed
           ON changed.name = CASE WHEN automatic THEN 'automatic_failures'
                                  ELSE 'personal_failures' END
$$;

-- Let transactions that change the circuits of a version do so one after the other.
CREATE FUNCTION circuits_key(version uuid) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$ SELECT hashtextextended('circuits of ' || version, 0) $$;

CREATE FUNCTION refuse_start(version uuid, circuit jsonb) RETURNS void
LANGUAGE plpgsql
SET search_path = @search_path@
AS $$
BEGIN
    PERFORM refuse('PVC08',
        format('starts of template version "%s" are refused for now: %s failed in a row (%s); %s',
            (SELECT name FROM template_versions WHERE id = version),
            circuit ->> 'failures', circuit ->> 'reason',
            CASE WHEN (circuit ->> 'open_until')::timestamptz > now()
                 THEN 'one is let through after ' || to_char(
                     (circuit ->> 'open_until')::timestamptz AT TIME ZONE 'UTC',
                     'YYYY-MM-DD HH24:MI:SS "UTC"')
                 ELSE 'one that was let through has not ended' END),
        circuit);
END $$;

-- Refuse a start while a circuit of its version is open for its kind. When the time of the circuit
-- is up, the start of one workspace is let through. Another one is let through when that build has
-- ended without closing the circuit or opening it again. With the rights of its owner, so that what
-- enqueues in steps needs no rights in circuits.
CREATE FUNCTION admit_start(version uuid, workspace uuid, automatic boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = @search_path@
SECURITY DEFINER
AS $$
DECLARE
    allowed CONSTANT integer := failures_allowed(automatic);
    circuit jsonb;
BEGIN
    SELECT to_jsonb(one) INTO circuit
    FROM (
        SELECT reason, failures, open_until FROM circuits
        WHERE template_version_id = version AND failures >= allowed AND open_until IS NOT NULL
        ORDER BY open_until DESC
        LIMIT 1
    ) AS one;
    IF circuit IS NULL THEN RETURN; END IF;
    -- Not to wait: another transaction lets a start through, or one has just ended.
    IF NOT pg_try_advisory_xact_lock(circuits_key(version)) THEN
        PERFORM refuse_start(version, circuit);
    END IF;
    -- Again, because it may have changed before the lock.
    SELECT to_jsonb(one) INTO circuit
    FROM (
        SELECT reason, failures, open_until FROM circuits
        WHERE template_version_id = version AND failures >= allowed
          AND (open_until > now() OR trial_workspace_id <> workspace AND EXISTS (
              SELECT FROM provisioner_jobs
              WHERE workspace_id = trial_workspace_id AND completed_at IS NULL))
        ORDER BY open_until DESC
        LIMIT 1
    ) AS one;
    IF circuit IS NOT NULL THEN PERFORM refuse_start(version, circuit); END IF;
    UPDATE circuits SET trial_workspace_id = workspace
    WHERE template_version_id = version AND failures >= allowed AND open_until IS NOT NULL;
END $$;

-- As before, and with the check of circuits.
CREATE OR REPLACE FUNCTION begin_build(request jsonb) RETURNS jsonb
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
        PERFORM admit_start((source ->> 'version_id')::uuid, (workspace ->> 'id')::uuid,
            is_automatic(coalesce(request ->> 'initiator_id', workspace ->> 'owner_id')::uuid,
                         request ->> 'reason'));
    END IF;
    RETURN source || jsonb_build_object('workspace', workspace);
END $$;
