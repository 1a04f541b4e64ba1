/*-------------------------------------------------------------------------
 *
 * cores.c
 *	  How many threads can compute at a time on this machine.
 *
 * The least of: processors that this process may run on, cores that they
 * belong to, and the processor time that its control group gets.  What cannot
 * be read limits nothing.
 *
 * Inside a container the path in /proc/self/cgroup may be one of the machine
 * outside, and what counts lies at the root of the mount; all groups between
 * the process and the root bound it, so every file on the way is looked at.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <sched.h>
#include <unistd.h>

#include "storage/fd.h"

#include "serving/cores.h"

#define LINE 256

/* The first line of a file; false when there is none. */
static bool
read_line(const char *path, char *line)
{
	FILE	   *file = AllocateFile(path, "r");
	bool		read;

	if (file == NULL)
		return false;
	read = fgets(line, LINE, file) != NULL;
	FreeFile(file);
	return read;
}

/*
 * Processors
 */

/* The first processor of a list as "0,2" or "0-1", or -1. */
static int
first_listed(const char *list, const cpu_set_t *allowed)
{
	while (*list != '\0' && *list != '\n')
	{
		char	   *end;
		long		first = strtol(list, &end, 10);
		long		last = first;

		if (end == list)
			return -1;
		if (*end == '-')
			last = strtol(end + 1, &end, 10);
		for (long cpu = first; cpu <= last && cpu < CPU_SETSIZE; cpu++)
			if (cpu >= 0 && CPU_ISSET(cpu, allowed))
				return (int) cpu;
		list = *end == ',' ? end + 1 : end;
		if (*end != ',')
			break;
	}
	return -1;
}

/* Does another allowed processor stand for the core of this one? */
static bool
shares_core(int cpu, const cpu_set_t *allowed)
{
	char		path[MAXPGPATH];
	char		line[LINE];
	int			first;

	snprintf(path, sizeof(path),
			 "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
			 cpu);
	if (!read_line(path, line))
		return false;
	first = first_listed(line, allowed);
	return first >= 0 && first != cpu;
}

static int
allowed_cores(void)
{
	cpu_set_t	allowed;
	int			n = 0;

	CPU_ZERO(&allowed);
	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return (int) sysconf(_SC_NPROCESSORS_ONLN);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && !shares_core(cpu, &allowed))
			n++;
	return n;
}

/*
 * Control groups
 */

/* Processors' worth of time in a group's own file; 0: no bound. */
static double
group_time(const char *group, bool unified)
{
	char		path[MAXPGPATH];
	char		line[LINE];
	double		quota;
	double		period;

	if (unified)
	{
		snprintf(path, sizeof(path), "%s/cpu.max", group);
		if (!read_line(path, line) ||
			sscanf(line, "%lf %lf", &quota, &period) != 2)
			return 0;
	}
	else
	{
		snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", group);
		if (!read_line(path, line) || sscanf(line, "%lf", &quota) != 1)
			return 0;
		snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", group);
		if (!read_line(path, line) || sscanf(line, "%lf", &period) != 1)
			return 0;
	}
	return quota > 0 && period > 0 ? quota / period : 0;
}

/* The least of a group and all above it, up to the mount. */
static double
groups_time(const char *mount, const char *path, bool unified)
{
	char		group[MAXPGPATH];
	size_t		root = strlen(mount);
	double		least = 0;

	snprintf(group, sizeof(group), "%s%s", mount, path);
	for (;;)
	{
		double		time = group_time(group, unified);
		char	   *slash;

		if (time > 0 && (least == 0 || time < least))
			least = time;
		slash = strrchr(group, '/');
		if (slash == NULL || (size_t) (slash - group) < root)
			return least;
		*slash = '\0';
	}
}

/* Is "cpu" among the names of a line "4:cpu,cpuacct:/path"? */
static bool
names_cpu(const char *names, const char *end)
{
	while (names < end)
	{
		size_t		length = strcspn(names, ",:");

		if (length == 3 && strncmp(names, "cpu", 3) == 0)
			return true;
		names += length + 1;
	}
	return false;
}

/* What one line of /proc/self/cgroup allows; 0: no bound. */
static double
line_time(char *line)
{
	char	   *names = strchr(line, ':');
	char	   *path = names == NULL ? NULL : strchr(names + 1, ':');

	if (path == NULL)
		return 0;
	names++;
	path[strcspn(path, "\n")] = '\0';
	if (names == path)
		return groups_time("/sys/fs/cgroup", path + 1, true);
	if (names_cpu(names, path))
		return groups_time("/sys/fs/cgroup/cpu", path + 1, false);
	return 0;
}

static double
control_group_time(void)
{
	FILE	   *file = AllocateFile("/proc/self/cgroup", "r");
	char		line[MAXPGPATH];
	double		least = 0;

	if (file == NULL)
		return 0;
	while (fgets(line, sizeof(line), file) != NULL)
	{
		double		time = line_time(line);

		if (time > 0 && (least == 0 || time < least))
			least = time;
	}
	FreeFile(file);
	return least;
}

int
cores_available(void)
{
	int			cores = allowed_cores();
	double		time = control_group_time();

	/* half a processor more than whole ones is worth a thread */
	if (time > 0 && time < cores)
		cores = (int) (time + 0.5);
	return Max(cores, 1);
}
