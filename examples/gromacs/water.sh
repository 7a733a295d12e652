#!/bin/sh
# A box of water, made, relaxed and followed for some picoseconds with GROMACS (Debian: `apt install
# gromacs`). Needs nothing but the files that GROMACS brings. STEPS of 2 fs each; 5,000 unless told.
set -eu
steps="${STEPS:-5000}"
gmx="gmx -quiet"
export GMX_MAXBACKUP=-1

cat > topol.top << 'TOP'
#include "amber99sb-ildn.ff/forcefield.itp"
#include "amber99sb-ildn.ff/spce.itp"
[ system ]
Water
[ molecules ]
TOP
$gmx solvate -cs spc216.gro -box 2 2 2 -o box.gro -p topol.top

common='cutoff-scheme = Verlet
coulombtype = PME
rcoulomb = 0.9
rvdw = 0.9'
printf 'integrator = steep\nnsteps = 200\nemtol = 500\n%s\n' "$common" > min.mdp
printf 'integrator = md\ndt = 0.002\nnsteps = %s\nnstenergy = 50\nnstxout-compressed = 500\ntcoupl = v-rescale\ntc-grps = System\ntau-t = 0.1\nref-t = 300\ngen-vel = yes\ngen-temp = 300\ngen-seed = 7\nconstraints = h-bonds\n%s\n' \
  "$steps" "$common" > run.mdp

$gmx grompp -f min.mdp -c box.gro -p topol.top -o min.tpr -maxwarn 1
$gmx mdrun -deffnm min -ntmpi 1 -ntomp "${DAYAN_CPUS:-1}"
$gmx grompp -f run.mdp -c min.gro -p topol.top -o run.tpr -maxwarn 1
$gmx mdrun -deffnm run -ntmpi 1 -ntomp "${DAYAN_CPUS:-1}"

mkdir -p out
printf 'Potential\nTemperature\n\n' | $gmx energy -f run.edr -o out/energy.xvg > out/summary.txt
cp run.gro run.xtc out/
cat out/summary.txt
